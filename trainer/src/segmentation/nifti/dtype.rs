//! Numbers as NIfTI files hold them.

/// A number as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// 8 bits, unsigned.
    U8,
    /// 8 bits.
    I8,
    /// 16 bits, unsigned.
    U16,
    /// 16 bits.
    I16,
    /// 32 bits, unsigned.
    U32,
    /// 32 bits.
    I32,
    /// 64 bits, unsigned.
    U64,
    /// 64 bits.
    I64,
    /// Single precision.
    F32,
    /// Double precision.
    F64,
}

impl Dtype {
    /// Of its code in a header.
    ///
    /// # Errors
    /// What it is instead.
    pub fn of(code: i16) -> Result<Self, &'static str> {
        Ok(match code {
            2 => Self::U8,
            4 => Self::I16,
            8 => Self::I32,
            16 => Self::F32,
            64 => Self::F64,
            256 => Self::I8,
            512 => Self::U16,
            768 => Self::U32,
            1024 => Self::I64,
            1280 => Self::U64,
            1 => return Err("bits"),
            32 | 1792 | 2048 => return Err("complex numbers"),
            128 | 2304 => return Err("colours"),
            1536 => return Err("128-bit floats"),
            _ => return Err("numbers of an unknown kind"),
        })
    }

    /// Bytes of one.
    #[must_use]
    pub fn size(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The number in as many bytes.
    #[must_use]
    pub fn read(self, bytes: &[u8], big_endian: bool) -> f64 {
        macro_rules! number {
            ($kind:ty) => {{
                let mut own = [0; size_of::<$kind>()];
                own.copy_from_slice(bytes);
                if big_endian {
                    <$kind>::from_be_bytes(own)
                } else {
                    <$kind>::from_le_bytes(own)
                }
            }};
        }
        match self {
            Self::U8 => f64::from(number!(u8)),
            Self::I8 => f64::from(number!(i8)),
            Self::U16 => f64::from(number!(u16)),
            Self::I16 => f64::from(number!(i16)),
            Self::U32 => f64::from(number!(u32)),
            Self::I32 => f64::from(number!(i32)),
            Self::U64 => number!(u64) as f64,
            Self::I64 => number!(i64) as f64,
            Self::F32 => f64::from(number!(f32)),
            Self::F64 => number!(f64),
        }
    }
}
