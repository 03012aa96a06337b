//! bottle
