//! Plain values: text forms of amounts, ids and keys.

use ledger::values::amount::AmountError;
use ledger::values::id::WalletIdError;
use ledger::values::{
    Amount, Currency, GenesisHash, Hash, Hasher, Money, OpeningRequest, PolicyHash, SecretKey, WalletId,
};

#[test]
fn amounts_are_parsed_exactly_or_not_at_all() {
    use AmountError::{Malformed, TooLarge, TooManyDecimals};
    let rows = [
        ("0", Ok(0)),
        ("12", Ok(1_200)),
        ("12.3", Ok(1_230)),
        ("12.34", Ok(1_234)),
        ("0.01", Ok(1)),
        ("007", Ok(700)),
        ("184467440737095516.15", Ok(u64::MAX)),
        ("184467440737095516.16", Err(TooLarge)),
        ("184467440737095517", Err(TooLarge)),
        ("99999999999999999999999", Err(TooLarge)),
        ("1.234", Err(TooManyDecimals)),
        ("", Err(Malformed)),
        (".", Err(Malformed)),
        ("1.", Err(Malformed)),
        (".5", Err(Malformed)),
        ("-1", Err(Malformed)),
        ("+1", Err(Malformed)),
        ("1e3", Err(Malformed)),
        ("1,000", Err(Malformed)),
        (" 1", Err(Malformed)),
        ("1 ", Err(Malformed)),
        ("1.2.3", Err(Malformed)),
        ("١", Err(Malformed)),
        ("0x10", Err(Malformed)),
    ];
    for (text, expected) in rows {
        assert_eq!(text.parse().map(Amount::fen), expected, "{text:?}");
    }
    for fen in [0, 1, 10, 99, 100, 12_345, u64::MAX] {
        let amount = Amount::from_fen(fen);
        assert_eq!(amount.to_string().parse(), Ok(amount));
    }
    assert_eq!(Amount::from_fen(1_205).to_string(), "12.05");
}

#[test]
fn money_is_read_with_its_currency() {
    for (fen, currency, text) in [(1_205, "HKD", "12.05 HKD"), (0, "CNY", "0.00 CNY")] {
        let money = Money::from_fen(fen, currency.parse().unwrap());
        assert_eq!((money.to_string(), format!("{money:?}")), (text.to_owned(), text.to_owned()));
    }
}

#[test]
fn sums_and_differences_never_wrap() {
    let [zero, one, most] = [0, 1, u64::MAX].map(Amount::from_fen);
    assert_eq!(
        (most.plus(one), most.plus(zero), zero.minus(one), one.minus(one)),
        (None, Some(most), None, Some(zero))
    );
}

#[test]
fn an_opening_request_is_taken_for_nothing_else() {
    let request = OpeningRequest { policy: PolicyHash([2; 32]), salt: [3; 16] };
    let text = request.to_string();
    assert!(text.starts_with("jzo1"), "{text}");
    assert_eq!(text.parse(), Ok(request));
    let id = WalletId([2; 32]).to_string();
    assert!(text.parse::<WalletId>().is_err());
    let mut mistyped = text.clone();
    mistyped.replace_range(10..=10, if text[10..].starts_with('q') { "p" } else { "q" });
    for wrong in [id, request.policy.to_string(), text.to_uppercase(), mistyped, String::new()] {
        assert!(wrong.parse::<OpeningRequest>().is_err(), "{wrong}");
    }
}

#[test]
fn a_wallet_id_has_one_text() {
    let currency: Currency = "CNY".parse().unwrap();
    let id = WalletId::derive(GenesisHash([1; 32]), currency, PolicyHash([2; 32]), &[3; 16]);
    let text = id.to_string();
    assert!(text.starts_with("jz1") && text.len() == 61);
    assert_eq!(text.parse(), Ok(id));
    assert_eq!(text.to_uppercase().parse::<WalletId>(), Err(WalletIdError::Prefix));
    assert!(format!("x{text}").parse::<WalletId>().is_err());
    assert_eq!("".parse::<WalletId>(), Err(WalletIdError::Checksum));
    // Every single wrong character and every swap of neighbours is noticed.
    let alphabet = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    for place in 3..text.len() {
        for letter in alphabet.chars().filter(|letter| !text[place..].starts_with(*letter)) {
            let mut wrong = text.clone();
            wrong.replace_range(place..=place, &letter.to_string());
            assert_eq!(wrong.parse::<WalletId>(), Err(WalletIdError::Checksum), "{wrong}");
        }
    }
    // The same bytes with other padding bits, under a correct checksum, are another text for the same wallet:
    // refused.
    use bech32::{Bech32m, ByteIterExt as _, Fe32, Fe32IterExt as _, Hrp};
    let mut digits: Vec<Fe32> = id.0.iter().copied().bytes_to_fes().collect();
    let last = digits.pop().unwrap();
    digits.push(Fe32::try_from(last.to_u8() | 1).unwrap());
    let hrp = Hrp::parse("jz").unwrap();
    let padded: String = digits.into_iter().with_checksum::<Bech32m>(&hrp).chars().collect();
    assert_eq!(padded.parse::<WalletId>(), Err(WalletIdError::Checksum));
    // Another length under a correct checksum.
    let short = bech32::encode::<Bech32m>(hrp, &[1; 20]).unwrap();
    assert_eq!(short.parse::<WalletId>(), Err(WalletIdError::Length));
    let other = bech32::encode::<Bech32m>(Hrp::parse("bc").unwrap(), &[1; 32]).unwrap();
    assert_eq!(other.parse::<WalletId>(), Err(WalletIdError::Prefix));
}

#[test]
fn a_wallet_id_follows_from_everything_it_is_made_of() {
    let derive = |genesis, currency: &str, policy, salt| {
        WalletId::derive(
            GenesisHash([genesis; 32]),
            currency.parse().unwrap(),
            PolicyHash([policy; 32]),
            &[salt; 16],
        )
    };
    let ids = [
        derive(1, "CNY", 1, 1),
        derive(2, "CNY", 1, 1),
        derive(1, "EUR", 1, 1),
        derive(1, "CNY", 2, 1),
        derive(1, "CNY", 1, 2),
    ];
    let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len());
}

#[test]
fn currencies_are_three_capital_letters() {
    for wrong in ["", "CN", "CNYX", "cny", "C1Y", "CN¥"] {
        assert!(wrong.parse::<Currency>().is_err(), "{wrong}");
    }
}

#[test]
fn tags_separate_hashes() {
    let hash = |tag, bytes: &[u8]| Hasher::new(tag).bytes(bytes).finish();
    assert_ne!(hash("ab", b"c"), hash("a", b"bc"));
    assert_ne!(hash("a", b""), hash("", b"a"));
    assert_eq!(Hasher::new("a").number(1).finish(), hash("a", &1_u64.to_le_bytes()));
    assert_eq!(Hash([0xab; 32]).to_string(), "ab".repeat(32));
    assert!("ab".repeat(31).parse::<GenesisHash>().is_err());
    assert_eq!("ab".repeat(32).parse(), Ok(GenesisHash([0xab; 32])));
}

#[test]
fn a_secret_key_never_shows() {
    let key = SecretKey::from_seed([0x5a; 32]);
    assert_eq!(format!("{key:?}"), "SecretKey(…)");
    // RFC 8032, section 7.1, test 1.
    let key: SecretKey = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60".parse().unwrap();
    let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    assert_eq!(key.public_key().to_string(), public);
}
