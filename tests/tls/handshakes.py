"""paho-mqtt against an encrypted listener that asks for certificates.

Called with the port and the folder of the certificates; every step is a line, the last is "done".
"""

import queue
import ssl
import sys

import paho.mqtt.client as mqtt

port, folder = int(sys.argv[1]), sys.argv[2]
LIMIT = 40


def client(who, ca="ca.crt", host="localhost", version=None, protocol=mqtt.MQTTv5):
    """A client that has shaken hands and was let in, with a queue of what it gets."""
    context = ssl.create_default_context(cafile=f"{folder}/{ca}")
    if who:
        context.load_cert_chain(f"{folder}/{who}.crt", f"{folder}/{who}.key")
    if version:
        context.minimum_version = context.maximum_version = version
    made = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, protocol=protocol)
    made.tls_set_context(context)
    made.heard = queue.Queue()
    made.on_connect = lambda c, u, f, reason, p: made.heard.put(("connected", str(reason)))
    made.on_message = lambda c, u, message: made.heard.put(("message", message.payload))
    made.on_subscribe = lambda c, u, m, codes, p: made.heard.put(("subscribed", None))
    made.on_disconnect = lambda c, u, f, reason, p: made.heard.put(("gone", str(reason)))
    made.connect(host, port)
    made.loop_start()
    assert made.heard.get(timeout=LIMIT) == ("connected", "Success")
    return made


def refused(what, **how):
    """A handshake fails at once, or what comes behind it: in TLS 1.3 the client is done first."""
    try:
        client(**how).disconnect()
    except (ssl.SSLError, OSError, AssertionError) as error:
        print(what, "is refused:", type(error).__name__)
        return
    sys.exit(f"{what} got in")


for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
    for protocol in (mqtt.MQTTv311, mqtt.MQTTv5):
        anna = client("anna", version=version, protocol=protocol)
        topic = f"paho/{version.value}/{protocol}"
        anna.subscribe(topic, qos=2)
        assert anna.heard.get(timeout=LIMIT)[0] == "subscribed"
        for qos in (0, 1, 2):
            payload = bytes([65 + qos]) * 100_000
            anna.publish(topic, payload, qos=qos).wait_for_publish(LIMIT)
            assert anna.heard.get(timeout=LIMIT) == ("message", payload)
        anna.disconnect()
        anna.loop_stop()
        print(version.name, protocol, "talks")

refused("a revoked certificate", who="bert")
refused("a certificate that has expired", who="late")
refused("no certificate", who=None)
refused("an authority that did not sign", who="anna", ca="other-ca.crt")
refused("a wrong host name", who="anna", host="127.0.0.1")
print("done")
