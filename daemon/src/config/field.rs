//! What is known of a setting beside its value, and the macro that a section of settings is written with.

/// A setting as the example file and `config check` describe it.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// `section.name`, as in the file.
    pub key: &'static str,
    /// The lines of its documentation.
    pub doc: &'static [&'static str],
    /// What a value must look like.
    pub expected: &'static str,
    /// Taken from the environment letter for letter instead of being parsed as a TOML value.
    pub(crate) text: bool,
    /// Never printed, never taken from a flag.
    pub secret: bool,
    /// The default as a TOML value; none when the setting is unset by default.
    pub default: fn() -> Option<String>,
    /// Whether the merged sources hold a value of the right type.
    pub(crate) check: fn(&figment::Figment) -> Result<(), Box<figment::Error>>,
}

/// Declares a section: a struct whose defaults, documentation and types are also available as [`Field`]s.
macro_rules! section {
    (
        $(#[doc = $about:literal])*
        [$section:ident] $name:ident {
            $( $(#[doc = $doc:literal])* $field:ident: $kind:ty = $default:expr; )*
        }
    ) => {
        $(#[doc = $about])*
        #[derive(Clone, Debug, serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $kind, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $name {
            /// What this section is about.
            pub(crate) const ABOUT: &'static [&'static str] = &[$($about),*];

            /// The settings of this section.
            pub(crate) const FIELDS: &'static [$crate::config::Field] = &[
                $( $crate::config::Field {
                    key: concat!(stringify!($section), ".", stringify!($field)),
                    doc: &[$($doc),*],
                    expected: <$kind as $crate::config::kind::Kind>::EXPECTED,
                    text: <$kind as $crate::config::kind::Kind>::TEXT,
                    secret: <$kind as $crate::config::kind::Kind>::SECRET,
                    default: || $crate::config::kind::Kind::shown(&$name::default().$field),
                    check: |figment| {
                        let key = concat!(stringify!($section), ".", stringify!($field));
                        match figment.extract_inner::<$kind>(key) {
                            Ok(_) => Ok(()),
                            Err(error) if error.missing() => Ok(()),
                            Err(error) => Err(Box::new(error)),
                        }
                    },
                }, )*
            ];

            /// The values of this section, as TOML; none for what is not set. Secrets are redacted.
            pub(crate) fn shown(&self) -> Vec<(&'static str, Option<String>)> {
                vec![$( (
                    concat!(stringify!($section), ".", stringify!($field)),
                    $crate::config::kind::Kind::shown(&self.$field),
                ), )*]
            }
        }
    };
}

pub(super) use section;
