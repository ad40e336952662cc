//! Shared Subscriptions (section 4.8.2): one message, one of the group.

use crate::client::Client;
use crate::common::packet::*;
use crate::common::property::Property;
use crate::world::World;

fn group(world: &World, names: &[&str], filter: &str, qos: u8) -> Vec<Client> {
    let join = |name: &&str| {
        let client = world.v5(name).durable().connect();
        assert_eq!(client.subscribe(filter, qos), qos);
        client
    };
    names.iter().map(join).collect()
}

#[test]
fn each_message_goes_to_one_member_and_all_have_their_share() {
    let world = World::new();
    let members = group(&world, &["a", "b", "c"], "$share/g/job/+", 1);
    let p = world.v5("p").connect();
    for n in 0..30 {
        assert_eq!(p.say("job/x", &n.to_string(), 1), 0);
    }
    let heard: Vec<Vec<String>> = members.iter().map(Client::payloads).collect();
    let mut all: Vec<u32> = heard
        .iter()
        .flatten()
        .map(|p| p.parse().expect("a number"))
        .collect();
    all.sort_unstable();
    assert_eq!(all, (0..30).collect::<Vec<_>>(), "every message once");
    for share in heard {
        assert_eq!(share.len(), 10, "a fair share");
    }
}

#[test]
fn groups_and_plain_subscriptions_do_not_disturb_each_other() {
    let world = World::new();
    let one = group(&world, &["a", "b"], "$share/one/t", 1);
    let two = group(&world, &["c", "d"], "$share/two/t", 1);
    let plain = world.v5("plain").connect();
    plain.subscribe("t", 1);
    let both = world.v5("both").connect();
    both.subscribe("t", 1);
    both.subscribe("$share/three/t", 1);
    let p = world.v5("p").connect();
    for n in 0..10 {
        p.say("t", &n.to_string(), 1);
    }
    let total = |members: &[Client]| members.iter().map(|c| c.payloads().len()).sum::<usize>();
    assert_eq!(total(&one), 10);
    assert_eq!(total(&two), 10);
    assert_eq!(total(&[plain]), 10);
    assert_eq!(total(&[both]), 20);
}

#[test]
fn the_same_group_name_with_another_filter_is_another_group() {
    let world = World::new();
    let a = &group(&world, &["a"], "$share/g/t/+", 1)[0];
    let b = &group(&world, &["b"], "$share/g/t/#", 1)[0];
    world.v5("p").connect().say("t/1", "x", 1);
    a.hear("t/1", "x");
    b.hear("t/1", "x");
}

#[test]
fn a_shared_filter_has_a_name_and_a_filter() {
    proves!["5.0:MQTT-4.8.2-1", "5.0:MQTT-4.8.2-2"];
    for bad in [
        "$share/g",
        "$share/g/",
        "$share//t",
        "$share/",
        "$share",
        "$share/a+b/t",
        "$share/+/t",
        "$share/#/t",
        "$share/#",
        "$share/g/a#",
        "$share/g/#/a",
    ] {
        for packet in [
            Packet::from(Subscribe::new(1).filter(bad, 0)),
            Unsubscribe::new(1).filter(bad).into(),
        ] {
            let world = World::new();
            let client = world.v5("c").connect();
            client.send(packet);
            if bad == "$share" && !client.is_closed() {
                continue; // without a slash it is an ordinary topic
            }
            match client.next() {
                Packet::Disconnect(d) => assert!([0x81, 0x82, 0x8F].contains(&d.code), "{bad}"),
                Packet::SubAck(a) | Packet::UnsubAck(a) => assert_eq!(a.codes, [0x8F], "{bad}"),
                other => panic!("{bad}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_members_granted_qos_is_respected() {
    proves!["5.0:MQTT-4.8.2-3"];
    let world = World::new();
    let low = &group(&world, &["low"], "$share/g/t", 0)[0];
    let high = &group(&world, &["high"], "$share/g/t", 2)[0];
    let p = world.v5("p").connect();
    for _ in 0..10 {
        p.say("t", "x", 2);
    }
    let mut heard = [0, 0];
    for (n, (client, qos)) in [(low, 0), (high, 2)].into_iter().enumerate() {
        while !client.inbox().is_empty() {
            assert_eq!(client.hear("t", "x").qos, qos);
            heard[n] += 1;
        }
    }
    assert_eq!(heard, [5, 5]);
}

#[test]
fn members_that_are_here_are_preferred() {
    let world = World::new();
    let members = group(&world, &["here", "away"], "$share/g/t", 1);
    members[1].drop_link();
    let p = world.v5("p").connect();
    for _ in 0..6 {
        p.say("t", "x", 1);
    }
    assert_eq!(members[0].payloads().len(), 6);
    world.v5("away").durable().connect().expect_nothing();
}

#[test]
fn a_group_that_is_all_away_still_keeps_the_messages() {
    let world = World::new();
    let members = group(&world, &["a", "b"], "$share/g/t", 1);
    for member in &members {
        member.drop_link();
    }
    let p = world.v5("p").connect();
    for n in 0..6 {
        assert_eq!(p.say("t", &n.to_string(), 1), 0);
    }
    let heard: usize = ["a", "b"]
        .iter()
        .map(|name| world.v5(name).durable().connect().payloads().len())
        .sum();
    assert_eq!(heard, 6);
}

#[test]
fn what_was_begun_with_a_member_is_completed_with_it() {
    proves!["5.0:MQTT-4.8.2-4"];
    let world = World::new();
    let members = group(&world, &["a", "b"], "$share/g/t", 2);
    let p = world.v5("p").connect();
    p.say("t", "one", 2);
    let (taker, name) = if members[0].inbox().is_empty() {
        (&members[1], "b")
    } else {
        (&members[0], "a")
    };
    let sent = taker.publication();
    taker.drop_link();
    let taker = world.v5(name).durable().connect();
    let again = taker.message();
    assert_eq!((again.packet_id, again.dup), (sent.packet_id, true));
    let other = if name == "a" {
        &members[1]
    } else {
        &members[0]
    };
    other.expect_nothing();
}

#[test]
fn when_the_members_session_ends_the_message_goes_to_nobody_else() {
    proves!["5.0:MQTT-4.8.2-5"];
    let world = World::new();
    let a = world.v5("a").connect();
    a.subscribe("$share/g/t", 2);
    let b = world.v5("b").connect();
    b.subscribe("$share/g/t", 2);
    let p = world.v5("p").connect();
    p.say("t", "one", 2);
    let (taker, other) = if a.inbox().is_empty() {
        (&b, &a)
    } else {
        (&a, &b)
    };
    taker.publication();
    taker.drop_link();
    world.advance_s(1000);
    other.expect_nothing();
    // The group goes on with who is left.
    p.say("t", "two", 2);
    other.hear("t", "two");
}

#[test]
fn a_message_that_a_member_refuses_is_discarded() {
    proves!["5.0:MQTT-4.8.2-6"];
    for qos in [1, 2] {
        let world = World::new();
        let members = group(&world, &["a", "b"], "$share/g/t", 2);
        world.v5("p").connect().say("t", "x", qos);
        let (taker, other) = match members[0].inbox().is_empty() {
            true => (&members[1], &members[0]),
            false => (&members[0], &members[1]),
        };
        let refusal = Ack::code(taker.publication().packet_id, 0x80);
        taker.send(if qos == 1 {
            Packet::PubAck(refusal)
        } else {
            Packet::PubRec(refusal)
        });
        taker.expect_nothing();
        other.expect_nothing();
        taker.drop_link();
        other.expect_nothing();
    }
}

#[test]
fn leaving_a_group_leaves_the_others_in_it() {
    let world = World::new();
    let members = group(&world, &["a", "b"], "$share/g/t", 1);
    let p = world.v5("p").connect();
    assert_eq!(
        members[0].unsubscribe("t"),
        [0x11],
        "the plain filter is another subscription"
    );
    assert_eq!(members[0].unsubscribe("$share/g/t"), [0]);
    assert_eq!(members[0].unsubscribe("$share/g/t"), [0x11]);
    for _ in 0..4 {
        p.say("t", "x", 1);
    }
    members[0].expect_nothing();
    assert_eq!(members[1].payloads().len(), 4);
    members[1].unsubscribe("$share/g/t");
    assert_eq!(p.say("t", "x", 1), 0x10);
}

#[test]
fn subscribing_again_does_not_give_a_second_share() {
    let world = World::new();
    let members = group(&world, &["a", "b"], "$share/g/t", 1);
    for _ in 0..5 {
        members[0].subscribe("$share/g/t", 1);
    }
    let p = world.v5("p").connect();
    for _ in 0..10 {
        p.say("t", "x", 1);
    }
    assert_eq!(members[0].payloads().len(), 5);
    assert_eq!(members[1].payloads().len(), 5);
}

#[test]
fn a_shared_subscription_has_its_identifier() {
    let world = World::new();
    let client = world.v5("c").connect();
    let subscribe = Subscribe::new(1).filter("$share/g/t", 1);
    client.subscribe_with(subscribe.with(Property::SubscriptionIdentifier(3)));
    world.v5("p").connect().say("t", "x", 1);
    assert_eq!(
        client.hear("t", "x").properties,
        [Property::SubscriptionIdentifier(3)]
    );
}

#[test]
fn clients_of_3_1_1_can_share_as_well() {
    let world = World::new();
    let a = world.v311("a").connect();
    a.subscribe("$share/g/t", 1);
    let b = world.v5("b").connect();
    b.subscribe("$share/g/t", 1);
    let p = world.v311("p").connect();
    for _ in 0..10 {
        p.say("t", "x", 1);
    }
    assert_eq!((a.payloads().len(), b.payloads().len()), (5, 5));
}

#[test]
fn the_share_prefix_is_no_topic_that_wildcards_find() {
    let world = World::new();
    let a = world.v5("a").connect();
    a.subscribe("$share/g/#", 1);
    let p = world.v5("p").connect();
    p.say("x/y", "found", 1);
    p.say("$dev/x", "not found", 1);
    a.hear("x/y", "found");
    a.expect_nothing();
}
