//! The registry of event kinds: what a table of kinds (`kinds!`) makes of its lines.

/// An entry of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    /// Its number; never reused.
    pub number: u16,
    /// Its newest version.
    pub version: u16,
    /// Its name.
    pub name: &'static str,
    /// Whether it is part of the science.
    pub class: Class,
}

/// Whether a kind is part of the science or of how it was carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Part of the science: enters the logical digest.
    Logical,
    /// How it was carried out: never does.
    Operational,
}

/// What kinds there are: number, version, name, whether they are logical, and what an event is about,
/// unless that is all of its search, run or attack, and there is one such event in it.
macro_rules! kinds {
    (@subject $fields:ident) => {{
        let _ = $fields;
        Subject::default()
    }};
    (@subject $fields:ident $of:pat => $subject:expr) => {{
        let $of = $fields;
        $subject
    }};
    ($($number:literal $name:ident $text:literal version $version:literal $class:ident
        $(|$of:pat_param| $subject:expr)?),* $(,)?) => {
        /// A recorded fact.
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Event {
            $(
                #[doc = concat!("`", $text, "`, kind ", $number, ".")]
                $name($name),
            )*
        }

        /// Every kind this program knows.
        pub const KINDS: &[Kind] = &[
            $($name::KIND,)*
        ];

        impl Event {
            /// The event's entry in the registry.
            #[must_use]
            pub fn kind(&self) -> &'static Kind {
                match self {
                    $(Self::$name(_) => &$name::KIND,)*
                }
            }

            /// What it is about.
            pub(super) fn subject(&self) -> Subject {
                match self {
                    $(Self::$name(fields) => kinds!(@subject fields $($of => $subject)?),)*
                }
            }

            /// Hands the event's fields to an encoder.
            pub(super) fn encode_with<E: crate::events::codec::Encode>(&self, encoder: E) -> E::Out {
                match self {
                    $(Self::$name(fields) => encoder.encode(fields),)*
                }
            }

            /// Decodes the fields of a kind in its newest version.
            pub(super) fn decode_with<D: crate::events::codec::Decode>(
                number: u16,
                decoder: D,
            ) -> Option<Result<Self, D::Error>> {
                match number {
                    $($number => Some(decoder.decode().map(Self::$name)),)*
                    _ => None,
                }
            }
        }

        $(impl $name {
            const KIND: Kind =
                Kind { number: $number, version: $version, name: $text, class: Class::$class };
        })*

        $(impl From<$name> for Event {
            fn from(fields: $name) -> Self {
                Self::$name(fields)
            }
        })*
    };
}

pub(super) use kinds;
