"""paho-mqtt in MQTT 3.1.1 against a broker on the port given."""

import paho.mqtt.client as mqtt

from party import LIMIT_S, Party, equal, step

step("every QoS to every QoS")
writer = Party("writer")
flags, code, _ = writer.start()
equal((flags.session_present, code.value), (False, 0))
for granted in range(3):
    reader = Party("reader")
    reader.start()
    equal([c.value for c in reader.subscribe("a/+", granted)], [granted])
    for published in range(3):
        writer.publish("a/b", f"{published}", published)
        message = reader.message()
        equal(message.payload, f"{published}".encode())
        equal(message.qos, min(granted, published), "QoS")
        equal((message.topic, message.retain), ("a/b", False))
    reader.stop()

step("MQTT 3.1")
old = Party("old", protocol=mqtt.MQTTv31)
old.start()
old.subscribe("a/b", 1)
writer.publish("a/b", "to the old", 2)
equal(old.text(), "to the old")
old.stop()

step("several filters, and taking one back")
reader = Party("reader")
reader.start()
equal([c.value for c in reader.subscribe([("x", 0), ("y/#", 1), ("+", 2)])], [0, 1, 2])
reader.unsubscribe("+")
for topic in ("x", "z", "y", "y/1"):
    writer.publish(topic, topic, 1)
equal([reader.text() for _ in range(3)], ["x", "y", "y/1"])
reader.stop()

step("retained")
writer.publish("kept", "old", 1, True)
writer.publish("kept", "new", 2, True)
reader = Party("reader")
reader.start()
reader.subscribe("kept", 1)
message = reader.message()
equal((message.payload, message.qos, message.retain), (b"new", 1, True))
writer.publish("kept", None, 1, True)
equal(reader.message().payload, b"")
reader.stop()
reader = Party("reader")
reader.start()
reader.subscribe("kept", 1)
writer.publish("kept", "end", 1)
equal(reader.text(), "end")

step("will")
reader.subscribe("will", 2)
will = {"topic": "will", "payload": "gone", "qos": 2}
mortal = Party("mortal", will=will)
mortal.start()
mortal.die()
message = reader.message()
equal((message.payload, message.qos), (b"gone", 2))
polite = Party("polite", will=will)
polite.start()
polite.stop()
writer.publish("will", "end", 2)
equal(reader.text(), "end")
reader.stop()

step("a session that waits")
away = Party("away", clean_session=False)
flags, _, _ = away.start()
equal(flags.session_present, False)
away.subscribe("a", 2)
away.stop()
for n in range(60):
    writer.publish("a", f"{n}", 1 + n % 2)
back = Party("away", clean_session=False)
flags, _, _ = back.start()
equal(flags.session_present, True)
seen = [int(back.text()) for _ in range(60)]
# The library hands out QoS 2 at PUBREL, so that the order is that of each QoS.
equal([n for n in seen if n % 2 == 0], list(range(0, 60, 2)))
equal([n for n in seen if n % 2 == 1], list(range(1, 60, 2)))
back.stop()

step("a hundred in flight")
reader = Party("reader")
reader.start()
reader.subscribe("many", 2)
many = Party("many")
many.client.max_inflight_messages_set(100)
many.start()
for n in range(200):
    many.client.publish("many", f"{n}", 2)
equal([reader.text() for _ in range(200)], [f"{n}" for n in range(200)])

step("a large message")
big = bytes(n % 251 for n in range(500_000))
writer.publish("many", big, 2)
equal(reader.message().payload == big, True)

step("the same id takes over")
again = Party("reader")
again.start()
reader.goodbyes.get(timeout=LIMIT_S)
reader.client.loop_stop()
again.stop()
many.stop()
writer.stop()
step("done")
