//! What a path and a query ask for, with refusals that name the parameter.

use std::fmt::Display;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Query, RawPathParams};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::refusal::Refusal;

/// The parts of the path.
pub(crate) struct Place(RawPathParams);

impl Place {
    /// The part that the route's template calls `name`.
    pub(crate) fn get<T: FromStr<Err: Display>>(&self, name: &'static str) -> Result<T, Refusal> {
        let text = self.0.iter().find(|(found, _)| *found == name).map_or("", |(_, text)| text);
        text.parse().map_err(|reason| Refusal::parameter(name, reason))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let params = RawPathParams::from_request_parts(parts, state).await;
        params.map(Self).map_err(|reason| Refusal::parameter("path", reason.body_text()))
    }
}

/// The query; unknown and doubled parameters are refused by the type it is read into.
pub(crate) struct Ask<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Ask<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(query)) => Ok(Self(query)),
            Err(reason) => {
                let text = reason.body_text();
                let detail = text.split_once(": ").map_or(text.as_str(), |(_, detail)| detail);
                Err(Refusal::parameter(parameter_name(detail).unwrap_or("query"), detail))
            }
        }
    }
}

/// The parameter that a message of the query reader starts with, as in `limit: invalid digit found in string`, or names
/// in back quotes, as in ``unknown field `limits` ``.
fn parameter_name(detail: &str) -> Option<&str> {
    let is_name =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let first = detail.split_once(": ").map(|(first, _)| first).filter(|first| is_name(first));
    first.or_else(|| detail.split('`').nth(1).filter(|quoted| is_name(quoted)))
}

/// A count that the client may choose within bounds.
pub(crate) fn limit(asked: Option<u32>, default: u32, max: u32) -> Result<usize, Refusal> {
    let count = asked.unwrap_or(default);
    if count == 0 || count > max {
        return Err(Refusal::parameter("limit", format_args!("{count}; 1 to {max} are allowed")));
    }
    Ok(usize::try_from(count).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_lead_to_their_parameter() {
        assert_eq!(parameter_name("limit: invalid digit found in string"), Some("limit"));
        assert_eq!(parameter_name("unknown field `limits`, expected `from` or `limit`"), Some("limits"));
        assert_eq!(parameter_name("missing field `from`"), Some("from"));
        assert_eq!(parameter_name("something else"), None);
    }
}
