//! TEMP
use std::fmt;
#[derive(Debug, Clone, PartialEq)]
pub enum Policy {
    Uniform,
    Newest,
    LeastReplayed,
    AsLogged,
    Sweep { passes: u32 },
}
impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Newest => f.write_str("newest"),
            Self::LeastReplayed => f.write_str("least-replayed"),
            Self::AsLogged => f.write_str("as-logged"),
            Self::Sweep { passes } => write!(f, "sweep(passes={passes})"),
        }
    }
}
impl std::str::FromStr for Policy {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "uniform" => Self::Uniform,
            "newest" => Self::Newest,
            "least-replayed" => Self::LeastReplayed,
            "as-logged" => Self::AsLogged,
            "sweep" | "sweep(passes=1)" => Self::Sweep { passes: 1 },
            "sweep(passes=2)" => Self::Sweep { passes: 2 },
            _ => return Err(format!("`{text}` is no policy")),
        })
    }
}

impl Policy {
    pub fn split(t: &str) -> impl Iterator<Item = &str> {
        t.split(',')
    }
}
