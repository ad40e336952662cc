"""paho-mqtt in MQTT 5 against a broker on the port given."""

import time

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from party import LIMIT_S, Party, equal, step


def five(name, **options):
    return Party(name, protocol=mqtt.MQTTv5, **options)


def properties(packet, **values):
    made = Properties(packet)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def stay(seconds):
    """Options of `start` for a session that outlives its connection."""
    connect = properties(PacketTypes.CONNECT, SessionExpiryInterval=seconds)
    return {"clean_start": False, "properties": connect}


step("what the broker says of itself")
writer = five("")
_, code, told = writer.start()
equal(code.value, 0)
equal(told.AssignedClientIdentifier.startswith("auto-"), True)
equal((told.TopicAliasMaximum, told.ReceiveMaximum), (10, 20))

step("properties are forwarded")
reader = five("reader")
reader.start()
identifier = properties(PacketTypes.SUBSCRIBE, SubscriptionIdentifier=268_435_455)
reader.subscribe("a/#", options=SubscribeOptions(qos=2), properties=identifier)
sent = properties(
    PacketTypes.PUBLISH,
    PayloadFormatIndicator=1,
    MessageExpiryInterval=1000,
    ContentType="text/plain",
    ResponseTopic="back",
    CorrelationData=b"\x00\xff",
)
sent.UserProperty = ("k", "1")
sent.UserProperty = ("k", "2")
for qos in range(3):
    writer.publish("a/b", "x", qos, properties=sent)
    got = reader.message()
    equal(got.qos, qos)
    got = got.properties
    equal(got.SubscriptionIdentifier, [268_435_455])
    equal(got.UserProperty, [("k", "1"), ("k", "2")])
    equal((got.ContentType, got.ResponseTopic), ("text/plain", "back"))
    equal((got.CorrelationData, got.PayloadFormatIndicator), (b"\x00\xff", 1))
    equal(990 <= got.MessageExpiryInterval <= 1000, True, got.MessageExpiryInterval)
reader.stop()

step("topic aliases")
reader = five("reader")
reader.start()
reader.subscribe("alias/#", 1)
first = properties(PacketTypes.PUBLISH, TopicAlias=10)
writer.publish("alias/x", "1", 1, properties=first)
writer.publish("", "2", 1, properties=first)
equal([(m.topic, m.payload) for m in (reader.message(), reader.message())],
      [("alias/x", b"1"), ("alias/x", b"2")])
reader.stop()

step("an alias beyond the limit ends the connection")
wrong = five("wrong")
wrong.start()
wrong.client.publish("x", "1", 1, properties=properties(PacketTypes.PUBLISH, TopicAlias=11))
wrong.goodbyes.get(timeout=LIMIT_S)
wrong.client.loop_stop()

step("message expiry")
away = five("away")
away.start(**stay(300))
away.subscribe("a", 1)
away.stop()
writer.publish("a", "short", 1, properties=properties(PacketTypes.PUBLISH, MessageExpiryInterval=1))
writer.publish("a", "long", 1)
start = time.monotonic()
clock = five("clock")
clock.start()
clock.subscribe("tick", 1)
while time.monotonic() - start < 2.1:
    clock.publish("tick", "x", 1)
    clock.message()
flags, _, _ = away.start(**stay(300))
equal(flags.session_present, True)
equal(away.text(), "long")
away.stop()

step("session expiry 0 at DISCONNECT")
away.start(**stay(300))
away.stop(properties=properties(PacketTypes.DISCONNECT, SessionExpiryInterval=0))
flags, _, _ = away.start(**stay(300))
equal(flags.session_present, False)
away.stop()

step("shared subscriptions")
pair = [five(f"shared{n}") for n in range(2)]
for party in pair:
    party.start()
    party.subscribe("$share/g/s/#", 1)
for n in range(20):
    writer.publish("s/x", f"{n}", 1)
seen = [int(party.text()) for party in pair for _ in range(10)]
equal(sorted(seen), list(range(20)))
for party in pair:
    party.stop()

step("subscription options")
me = five("me")
me.start()
me.publish("kept", "old", 1, True)
never = SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True, retainHandling=2)
me.subscribe("#", options=never)
me.publish("mine", "x", 1)
writer.publish("kept", "new", 1, True)
message = me.message()
equal((message.topic, message.payload, message.retain), ("kept", b"new", True))
once = SubscribeOptions(qos=1, retainHandling=1)
me.subscribe("kept", options=once)
equal(me.text(), "new")
me.subscribe("kept", options=once)
writer.publish("end", "end", 1)
equal(me.text(), "end")
me.stop()

step("will with delay and properties")
watcher = five("watcher")
watcher.start()
watcher.subscribe("will", 2)
delayed = properties(PacketTypes.WILLMESSAGE, WillDelayInterval=1, ContentType="text/plain")
mortal = five("mortal", will={"topic": "will", "payload": "gone", "qos": 2, "properties": delayed})
mortal.start(**stay(300))
mortal.die()
start = time.monotonic()
message = watcher.message()
equal((message.payload, message.properties.ContentType), (b"gone", "text/plain"))
equal(time.monotonic() - start > 0.8, True, "the delay")

step("disconnect with will")
mortal = five("mortal", will={"topic": "will", "payload": "said", "qos": 1})
mortal.start()
mortal.stop(reasoncode=mqtt.ReasonCode(PacketTypes.DISCONNECT, identifier=4))
equal(watcher.text(), "said")
watcher.stop()

step("request and response")
server = five("server")
server.start()
server.subscribe("question", 1)
asker = five("asker")
asker.start()
asker.subscribe("answer/asker", 1)
asked = properties(PacketTypes.PUBLISH, ResponseTopic="answer/asker", CorrelationData=b"7")
asker.publish("question", "how much?", 1, properties=asked)
question = server.message()
answer = properties(PacketTypes.PUBLISH, CorrelationData=question.properties.CorrelationData)
server.publish(question.properties.ResponseTopic, "42", 1, properties=answer)
message = asker.message()
equal((message.payload, message.properties.CorrelationData), (b"42", b"7"))

step("reason codes")
equal(writer.publish("nobody/here", "x", 1).value, 0x10)
equal(writer.publish("$SYS/mine", "x", 1).value, 0x87)
equal([c.value for c in asker.unsubscribe("never/subscribed")], [0x11])
twin = five("asker")
twin.start()
asker.goodbyes.get(timeout=LIMIT_S)
asker.client.loop_stop()
step("done")
