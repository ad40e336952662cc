"""One paho client that is asked step by step: every wait is for a condition, with a limit."""

import queue
import sys

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

LIMIT_S = 40
PORT = int(sys.argv[1])


class Party:
    """A client; what the library tells it is kept in queues."""

    def __init__(self, name, protocol=mqtt.MQTTv311, will=None, **options):
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=name, protocol=protocol, **options
        )
        if will:
            self.client.will_set(**will)
        self.answers = queue.Queue()
        self.granted = queue.Queue()
        self.removed = queue.Queue()
        self.published = queue.Queue()
        self.messages = queue.Queue()
        self.goodbyes = queue.Queue()
        client = self.client
        client.on_connect = lambda c, u, flags, code, p: self.answers.put((flags, code, p))
        client.on_subscribe = lambda c, u, mid, codes, p: self.granted.put(codes)
        client.on_unsubscribe = lambda c, u, mid, codes, p: self.removed.put(codes)
        client.on_publish = lambda c, u, mid, code, p: self.published.put((mid, code))
        client.on_message = lambda c, u, message: self.messages.put(message)
        client.on_disconnect = lambda c, u, flags, code, p: self.goodbyes.put(code)

    def start(self, **options):
        """Connects; returns the flags, the reason code and the properties of the CONNACK."""
        self.client.connect("127.0.0.1", PORT, **options)
        self.client.loop_start()
        return self.answers.get(timeout=LIMIT_S)

    def subscribe(self, *args, **options):
        self.client.subscribe(*args, **options)
        return self.granted.get(timeout=LIMIT_S)

    def unsubscribe(self, topic):
        self.client.unsubscribe(topic)
        return self.removed.get(timeout=LIMIT_S)

    def publish(self, *args, **options):
        """Publishes and waits until the library calls it done; returns the reason code."""
        self.client.publish(*args, **options)
        return self.published.get(timeout=LIMIT_S)[1]

    def message(self):
        return self.messages.get(timeout=LIMIT_S)

    def text(self):
        return self.message().payload.decode()

    def stop(self, **options):
        """Says DISCONNECT and goes."""
        self.client.disconnect(**options)
        self.goodbyes.get(timeout=LIMIT_S)
        self.client.loop_stop()

    def die(self):
        """Closes the socket without a word, as a crash does."""
        self.client.loop_stop()
        self.client.socket().close()


def equal(got, wanted, what=""):
    if got != wanted:
        raise AssertionError(f"{what}: got {got!r}, wanted {wanted!r}")


def step(what):
    print(what, flush=True)
