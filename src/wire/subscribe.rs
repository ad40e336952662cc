//! SUBSCRIBE, SUBACK, UNSUBSCRIBE and UNSUBACK (sections 3.8 to 3.11).
//!
//! Filters are checked for UTF-8 here; whether one is a good Topic Filter is the topic room's
//! question.

use super::{Malformed, PacketType, Properties, PropertyId, Put, QoS, Reader, ReasonCode, Version};

/// When retained messages are sent for a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RetainHandling {
    /// At each SUBSCRIBE.
    #[default]
    Always = 0,
    /// Only if the subscription is new.
    New = 1,
    /// Not at all.
    Never = 2,
}

/// The Subscription Options of one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct SubscriptionOptions {
    /// Maximum QoS.
    pub qos: QoS,
    /// Do not forward what the subscriber itself published.
    pub no_local: bool,
    /// Keep the RETAIN flag as it was published.
    pub retain_as_published: bool,
    /// When retained messages are sent.
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// Reads the options byte; before 5.0 only the QoS is allowed in it.
    pub fn from_byte(version: Version, byte: u8) -> Result<SubscriptionOptions, Malformed> {
        let reserved = if version == Version::V5 { 0xc0 } else { 0xfc };
        if byte & reserved != 0 {
            return Err(Malformed::packet(
                "reserved bits of the subscription options are set",
            ));
        }
        let qos = QoS::from_bits(byte & 3).ok_or(Malformed::packet("a subscription QoS of 3"))?;
        let retain_handling = match byte >> 4 & 3 {
            0 => RetainHandling::Always,
            1 => RetainHandling::New,
            2 => RetainHandling::Never,
            _ => return Err(Malformed::protocol("a retain handling of 3")),
        };
        Ok(SubscriptionOptions {
            qos,
            no_local: byte & 0x04 != 0,
            retain_as_published: byte & 0x08 != 0,
            retain_handling,
        })
    }

    /// The options byte.
    pub fn to_byte(self) -> u8 {
        self.qos as u8
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }
}

/// One filter of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeFilter<'a> {
    /// Topic Filter as it came, with `$share/...` if it is shared.
    pub filter: &'a str,
    /// Its options.
    pub options: SubscriptionOptions,
}

/// SUBSCRIBE, checked but for its filters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Subscribe<'a> {
    /// Packet Identifier.
    pub packet_id: u16,
    /// Properties; none before 5.0.
    pub properties: Properties<'a>,
    version: Version,
    filters: &'a [u8],
}

/// The filters of a SUBSCRIBE or UNSUBSCRIBE, in their order. They are checked as they are read:
/// there may be so many that this is work for more than one turn.
#[derive(Clone, Debug, PartialEq)]
pub struct Filters<'a> {
    reader: Reader<'a>,
    /// The version of SUBSCRIBE; an UNSUBSCRIBE has no options.
    version: Option<Version>,
}

impl<'a> Filters<'a> {
    /// Those in the [`rest`](Filters::rest) of a SUBSCRIBE of this version, or of an UNSUBSCRIBE.
    pub fn resume(version: Option<Version>, rest: &'a [u8]) -> Filters<'a> {
        let reader = Reader::new(rest);
        Filters { reader, version }
    }

    /// The bytes of those that did not come yet.
    pub fn rest(&self) -> &'a [u8] {
        self.reader.rest()
    }
}

impl<'a> Iterator for Filters<'a> {
    type Item = Result<SubscribeFilter<'a>, Malformed>;

    /// The next filter, or what is wrong with it; nothing more comes after that.
    fn next(&mut self) -> Option<Self::Item> {
        if self.reader.is_empty() {
            return None;
        }
        let mut read = || {
            let filter = self.reader.name()?;
            let options = match self.version {
                Some(version) => SubscriptionOptions::from_byte(version, self.reader.u8()?)?,
                None => SubscriptionOptions::default(),
            };
            Ok(SubscribeFilter { filter, options })
        };
        let filter = read();
        if filter.is_err() {
            self.reader = Reader::new(&[]);
        }
        Some(filter)
    }
}

impl<'a> Subscribe<'a> {
    pub(super) fn decode(
        version: Version,
        mut reader: Reader<'a>,
    ) -> Result<Subscribe<'a>, Malformed> {
        let packet_id = reader.packet_id()?;
        let properties = match version {
            Version::V5 => Properties::read(&mut reader, PacketType::Subscribe)?,
            _ => Properties::default(),
        };
        let filters = reader.rest();
        if filters.is_empty() {
            return Err(Malformed::protocol("a SUBSCRIBE without a filter"));
        }
        Ok(Subscribe {
            packet_id,
            properties,
            version,
            filters,
        })
    }

    /// The filters in their order.
    pub fn filters(&self) -> Filters<'a> {
        Filters::resume(Some(self.version), self.filters)
    }

    /// The Subscription Identifier of all its filters.
    pub fn subscription_id(&self) -> Option<u32> {
        self.properties.integer(PropertyId::SubscriptionIdentifier)
    }

    /// Writes a SUBSCRIBE.
    pub fn encode(
        version: Version,
        packet_id: u16,
        properties: Properties<'_>,
        filters: &[SubscribeFilter<'_>],
        out: &mut impl Put,
    ) {
        let v5 = version == Version::V5;
        let mut len = 2 + if v5 { properties.encoded_len() } else { 0 };
        len += filters.iter().map(|f| 3 + f.filter.len()).sum::<usize>();
        out.put_u8(0x82);
        out.put_var_int(len);
        out.put_u16(packet_id);
        if v5 {
            properties.encode(out);
        }
        for filter in filters {
            out.put_field(filter.filter.as_bytes());
            out.put_u8(filter.options.to_byte());
        }
    }
}

/// UNSUBSCRIBE, checked but for its filters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unsubscribe<'a> {
    /// Packet Identifier.
    pub packet_id: u16,
    /// Properties; none before 5.0.
    pub properties: Properties<'a>,
    filters: &'a [u8],
}

impl<'a> Unsubscribe<'a> {
    pub(super) fn decode(
        version: Version,
        mut reader: Reader<'a>,
    ) -> Result<Unsubscribe<'a>, Malformed> {
        let packet_id = reader.packet_id()?;
        let properties = match version {
            Version::V5 => Properties::read(&mut reader, PacketType::Unsubscribe)?,
            _ => Properties::default(),
        };
        let filters = reader.rest();
        if filters.is_empty() {
            return Err(Malformed::protocol("an UNSUBSCRIBE without a filter"));
        }
        Ok(Unsubscribe {
            packet_id,
            properties,
            filters,
        })
    }

    /// The filters in their order, with options that mean nothing.
    pub fn filters(&self) -> Filters<'a> {
        Filters::resume(None, self.filters)
    }

    /// Writes an UNSUBSCRIBE.
    pub fn encode(
        version: Version,
        packet_id: u16,
        properties: Properties<'_>,
        filters: &[&str],
        out: &mut impl Put,
    ) {
        let v5 = version == Version::V5;
        let mut len = 2 + if v5 { properties.encoded_len() } else { 0 };
        len += filters.iter().map(|f| 2 + f.len()).sum::<usize>();
        out.put_u8(0xa2);
        out.put_var_int(len);
        out.put_u16(packet_id);
        if v5 {
            properties.encode(out);
        }
        for filter in filters {
            out.put_field(filter.as_bytes());
        }
    }
}

/// SUBACK or UNSUBACK.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SubAck<'a> {
    /// The Packet Identifier of the request.
    pub packet_id: u16,
    /// Properties; none before 5.0.
    pub properties: Properties<'a>,
    /// One code for each filter, in their order; none in an UNSUBACK before 5.0.
    pub codes: &'a [u8],
}

impl<'a> SubAck<'a> {
    pub(super) fn decode(
        version: Version,
        packet: PacketType,
        mut reader: Reader<'a>,
    ) -> Result<SubAck<'a>, Malformed> {
        let packet_id = reader.packet_id()?;
        let properties = match version {
            Version::V5 => Properties::read(&mut reader, packet)?,
            _ => Properties::default(),
        };
        let codes = reader.rest();
        let good = match (version, packet) {
            (Version::V5, _) => codes.iter().all(|&code| ReasonCode(code).fits(packet)),
            (_, PacketType::SubAck) => codes.iter().all(|code| matches!(code, 0 | 1 | 2 | 0x80)),
            _ => codes.is_empty(),
        };
        let wanted = version == Version::V5 || packet == PacketType::SubAck;
        if !good || wanted && codes.is_empty() {
            return Err(Malformed::packet(
                "codes that do not belong to the acknowledgement",
            ));
        }
        Ok(SubAck {
            packet_id,
            properties,
            codes,
        })
    }

    /// Writes a SUBACK or UNSUBACK; an UNSUBACK before 5.0 has no codes.
    pub fn encode(&self, version: Version, packet: PacketType, out: &mut impl Put) {
        let v5 = version == Version::V5;
        let codes = if v5 || packet == PacketType::SubAck {
            self.codes
        } else {
            &[]
        };
        out.put_u8((packet as u8) << 4);
        out.put_var_int(2 + if v5 { self.properties.encoded_len() } else { 0 } + codes.len());
        out.put_u16(self.packet_id);
        if v5 {
            self.properties.encode(out);
        }
        out.put(codes);
    }
}
