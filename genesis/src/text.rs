//! From text in files to values, naming the field that is wrong.

use ledger::values::{Hash, PublicKey, Signature};

use crate::error::{FieldError, FieldProblem};

/// A public key of 64 hexadecimal digits.
pub(crate) fn key(field: &str, text: &str) -> Result<PublicKey, FieldError> {
    text.parse().map_err(|_| FieldProblem::Key.at(field))
}

/// A hash of 64 hexadecimal digits.
pub(crate) fn hash(field: &str, text: &str) -> Result<Hash, FieldError> {
    bytes(text).map(Hash).ok_or_else(|| FieldProblem::Hash.at(field))
}

/// A signature of 128 hexadecimal digits.
pub(crate) fn signature(field: &str, text: &str) -> Result<Signature, FieldError> {
    bytes(text).map(Signature).ok_or_else(|| FieldProblem::Signature.at(field))
}

/// The text of a signature.
pub(crate) fn signature_text(signature: Signature) -> String {
    const_hex::encode(signature.0)
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    const_hex::decode_to_slice(text, &mut bytes).ok()?;
    Some(bytes)
}

/// A name for people: nothing that could fake a line in a terminal.
pub(crate) fn check_name(field: &str, name: &str) -> Result<(), FieldError> {
    let fits = (1..=ledger::records::genesis::NAME_BYTES_MAX).contains(&name.len());
    if fits && !name.chars().any(char::is_control) { Ok(()) } else { Err(FieldProblem::Name.at(field)) }
}

/// `host:port` with a host that is a name or an address (IPv6 in brackets) and a port above 0.
pub(crate) fn check_address(field: &str, address: &str) -> Result<(), FieldError> {
    let wrong = || FieldProblem::Address.at(field);
    let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
    let port: u16 = port.parse().map_err(|_| wrong())?;
    let host_ok = match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            !host.is_empty()
                && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        }
    };
    if host_ok && port > 0 && address.len() <= ledger::records::genesis::ADDRESS_BYTES_MAX {
        Ok(())
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in ["127.0.0.1:7000", "[::1]:1", "bank-1.example:65535"] {
            assert_eq!(check_address("a", good), Ok(()), "{good}");
        }
        for bad in ["", ":1", "host", "host:0", "host:65536", "::1:7", "a b:1", "a\n:1", "[x]:1"] {
            assert!(check_address("a", bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn names_cannot_fake_lines() {
        assert!(check_name("n", "中国银行").is_ok());
        assert!(
            check_name("n", "a\nb").is_err()
                && check_name("n", "").is_err()
                && check_name("n", &"x".repeat(65)).is_err()
        );
    }
}
