//! Settings: a TOML file, below the environment, below the flags.
//!
//! Each of the three is read into a [`Layer`], where everything is optional and each value is
//! already of its type, so that an error can name its file and line, variable or flag. The layers
//! are put over each other and turned once into a [`Config`], in which nothing is optional that
//! has a default, and which holds no contradiction.

mod checked;
mod environment;
mod file;
mod forward;
mod layer;
mod probe;
mod sources;
mod value;

pub use checked::{
    Config, HttpConfig, LogConfig, LogFormat, QueryConfig, TlsFiles, UdpConfig, check,
};
pub use environment::{Environment, read_environment};
pub use file::read_file;
pub use forward::ForwardConfig;
pub use layer::{Io, Kind, Layer, Listen, Permissions, UdpPrecision};
pub use plimsoll_ingest::profile::Profile;
pub(crate) use probe::listen_failure;
pub use probe::{probe_data, probe_files, probe_listen};
pub use sources::{KubernetesConfig, SourcesConfig};
pub use value::{
    Bytes, DurabilitySetting, Duration, LogLevel, Parsed, Port, RetentionSetting, SourceUrl,
};
