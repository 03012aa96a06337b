//! RocksDB behind the face. The only module tree of the workspace that names it.

mod blob_file;
mod checksum;
mod directory;
mod fault;
mod log_file;
mod reader;
mod store;
mod tuning;
mod view;

pub(crate) use checksum::crc32c;
pub use directory::{database_files, read_identity};
pub use reader::{RocksReader, VerifyReport};
pub use store::RocksStore;
pub use tuning::RocksOptions;
