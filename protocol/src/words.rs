//! Enums that are words: on the wire, in the database, for people.

/// Declares an enum whose values are snake_case words: on the wire, in the database and in `Display`.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $value:ident = $word:literal,)* })*) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $value,)* }

        impl $name {
            /// Every value, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$value),*];
            /// The word for this value.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$value => $word),* }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.write_str(self.as_str()) }
        }
        impl std::str::FromStr for $name {
            type Err = $crate::state::UnknownWord;
            fn from_str(text: &str) -> Result<Self, $crate::state::UnknownWord> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or($crate::state::UnknownWord)
            }
        })*
    };
}

pub(crate) use words;
