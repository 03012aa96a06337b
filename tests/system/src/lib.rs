//! Tests of the whole system: house rules, real processes, the README.
