//! Files that people send each other or keep: of the ceremony, of governance, of keys and of transactions that several sign.

use std::fmt::Debug;

use genesis::approval::missing_approvals;
use genesis::governance::{KeyProofs, ProposalFile, SeatOffer};
use genesis::{Approval, Contribution, GenesisFile, NodeOffer, Template, merge};
use ledger::records::Registry;
use ledger::records::registry::ROOT_CHAIN;
use ledger::values::Canonical as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use wallet::partial::Signer;
use wallet::{KeyFile, PartialTransaction};

use crate::Target;
use crate::records::shown;
use crate::world::world;

pub(crate) const TARGETS: &[Target] = &[
    Target::plain("file-genesis", genesis_file),
    Target::plain("file-template", template),
    Target::plain("file-node-offer", node_offer),
    Target::plain("file-contribution", contribution),
    Target::plain("file-approval", approval),
    Target::plain("file-seat-offer", seat_offer),
    Target::plain("file-key-proofs", key_proofs),
    // The registry in it is canonical.
    Target::canonical("file-proposal", proposal_file),
    Target::plain("file-key", key_file),
    // The content in it is canonical.
    Target::canonical("file-partial", partial),
];

/// What the JSON says; it is the same once it was written and read again.
pub(crate) fn json<T: Serialize + DeserializeOwned + Debug + PartialEq>(bytes: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(bytes).ok()?;
    let written = serde_json::to_vec(&value).expect("what was read can be written");
    let again: T = serde_json::from_slice(&written).expect("what was written can be read");
    assert!(again == value, "{value:?} is written as {again:?}");
    shown(&value);
    Some(value)
}

fn genesis_file(bytes: &[u8]) {
    let Some(file) = json::<GenesisFile>(bytes) else { return };
    let Ok(spec) = file.spec() else { return };
    assert_eq!(spec.check(), Ok(()), "a file that loads is a genesis");
    let again = GenesisFile::from_spec(&spec).spec();
    assert!(again.is_ok_and(|again| again == spec), "file and spec convert without loss: {file:?}");
    shown(&(file.hash().is_ok(), genesis::show(&spec), Template::of(&spec).hash().is_ok()));
}

fn template(bytes: &[u8]) {
    let Some(template) = json::<Template>(bytes) else { return };
    shown(&(template.hash().is_ok(), merge(&template, &[]).is_ok()));
}

fn node_offer(bytes: &[u8]) {
    json::<NodeOffer>(bytes);
}

fn contribution(bytes: &[u8]) {
    let Some(contribution) = json::<Contribution>(bytes) else { return };
    let template = Template::of(&world().local.spec);
    shown(&contribution.verify(&template).is_ok());
    shown(&merge(&template, &[contribution]).is_ok());
}

fn approval(bytes: &[u8]) {
    let Some(approval) = json::<Approval>(bytes) else { return };
    let genesis = GenesisFile::from_spec(&world().local.spec);
    shown(&missing_approvals(&genesis, &[approval]).is_ok());
}

fn seat_offer(bytes: &[u8]) {
    let Some(offer) = json::<SeatOffer>(bytes) else { return };
    let spec = &world().local.spec;
    shown(&offer.verify(spec.hash(), &Registry::from_genesis(spec), ROOT_CHAIN).is_ok());
}

fn key_proofs(bytes: &[u8]) {
    json::<KeyProofs>(bytes);
}

fn proposal_file(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let spec = &world().local.spec;
    let Ok(file) = ProposalFile::from_json(text, spec) else { return };
    let written = file.to_json().expect("what was read can be written");
    let again = ProposalFile::from_json(&written, spec).expect("what was written can be read");
    assert_eq!(again.hash(), file.hash());
    shown(&(file.differences(), file.council(), file.missing(), file.complete().is_ok()));
}

fn key_file(bytes: &[u8]) {
    // Its passphrase is not tried: that is dear on purpose.
    let Some(file) = json::<KeyFile>(bytes) else { return };
    shown(&(file.kind(), file.label(), file.public_keys(), file.require(file.kind()).is_ok()));
}

fn partial(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let Ok(mut partial) = PartialTransaction::from_json(text) else { return };
    let written = partial.to_json().expect("what was read can be written");
    let again = PartialTransaction::from_json(&written).expect("what was written can be read");
    assert_eq!(again, partial);
    assert!(partial.merge(&again).is_ok() && partial == again, "a file adds nothing to itself");
    let missing = [Signer::Wallet, Signer::Sponsor].map(|signer| partial.missing(signer));
    assert_eq!(partial.complete().is_ok(), missing == [0, 0], "complete where nothing is missing");
}
