//! node
mod admission;
pub mod config;
mod handle;
pub mod http;
mod strategy;
pub mod telemetry;
pub mod tls;
pub mod tokens;
