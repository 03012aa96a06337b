//! Governance as clients see it: a registry with its proof, and what a change of it changes in the answers.

use api::chain::{ChainView, GrowthName};
use api::governance::VersionView;
use api::network::NetworkView;
use api::transaction::{OperationView, TransactionStatus};
use genesis::governance::{Draft, GovernanceError, ProposalFile, Terms};
use ledger::proofs::{ChainOrigin, RegistryProof};
use ledger::records::{Birth, Change, Growth, Operation, Proposal, Registry, ValidatorRecord};
use ledger::values::{Canonical as _, ChainId, Height, SecretKey, TimestampMs};

use super::bank::{Bank, CHAIN};
use super::{get, refusal};
use crate::config::RestLimits;
use crate::tokens::Tokens;

/// The registry that the node gives, once a certificate covers the height at which it was asked.
async fn registry(bank: &mut Bank) -> (RegistryProof, Vec<u8>) {
    let router = bank.router();
    let asked = tokio::spawn(async move { get(&router, &api::path::registry(CHAIN)).await });
    bank.answer_question().await;
    bank.execute(Vec::new(), true);
    let answer = asked.await.unwrap();
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    (RegistryProof::decode(&answer.body).unwrap(), answer.body.to_vec())
}

fn terms() -> Terms {
    let valid_until = TimestampMs(crate::admission::wall_clock().0 + 600_000);
    Terms { reason: "a try".to_owned(), valid_until, is_urgent: false }
}

/// Approved by the operators of the first three banks.
fn approved(bank: &Bank, proposal: Proposal) -> Operation {
    let approve = |bank_secrets: &genesis::dev::BankSecrets| {
        let operator = &bank_secrets.operator;
        proposal.approve(bank.genesis, operator.id, &operator.operator_key)
    };
    let approvals = bank.network.banks.iter().take(3).map(approve).collect();
    Operation::Govern { proposal, approvals }
}

#[tokio::test]
async fn a_registry_is_proved_with_the_genesis_spec_alone_and_proposals_are_made_of_it() {
    let mut bank = Bank::new();
    bank.story();
    let (proof, bytes) = registry(&mut bank).await;
    let spec = bank.network.spec.clone();
    proof.verify(&spec).unwrap();
    assert_eq!(proof.registry, Registry::from_genesis(&spec));
    assert_eq!(proof.certified.result.height, Height(4));
    for place in (0..bytes.len()).step_by(7) {
        let mut forged = bytes.clone();
        forged[place] ^= 1;
        let verdict = RegistryProof::decode(&forged).map(|proof| proof.verify(&spec));
        assert!(!matches!(verdict, Ok(Ok(()))), "byte {place} of {}", bytes.len());
    }

    let mut draft = Draft::new(proof.registry.clone());
    draft.set_param(CHAIN, "block_pace_ms", "75").unwrap();
    let proofs = draft.proofs().clone();
    let mut file = ProposalFile::new(&spec, proof, draft.proposal(terms()).unwrap(), proofs).unwrap();
    file.approve(&bank.network.banks[0].operator.operator_key).unwrap();
    let json = file.to_json().unwrap();
    assert_eq!(ProposalFile::from_json(&json, &spec).unwrap(), file);
    let nicer = json.replace("from 50 to 75", "from 50 to 51");
    assert_ne!(nicer, json);
    assert!(matches!(ProposalFile::from_json(&nicer, &spec), Err(GovernanceError::OtherWords)));
    let renamed = json.replace("bank-1 (operator 1)", "bank-2 (operator 2)");
    assert!(matches!(ProposalFile::from_json(&renamed, &spec), Err(GovernanceError::OtherWords)));
}

#[tokio::test]
async fn a_registry_is_refused_in_words() {
    let limits = RestLimits { wait_ms: 100, ..RestLimits::default() };
    let mut bank = Bank::with(Tokens::default(), limits);
    bank.story();
    let router = bank.router();
    let path = api::path::registry(CHAIN);
    let ((code, _), ()) = tokio::join!(refusal(&router, &path), bank.answer_question());
    assert_eq!(code, 1_409, "no certificate in time");
    let chain = Some("chain".to_owned());
    assert_eq!(refusal(&router, "/v1/chains/1/registry").await, (1_405, chain.clone()));
    assert_eq!(refusal(&router, "/v1/chains/9/registry").await, (1_404, chain.clone()));
    assert_eq!(refusal(&router, "/v1/chains/x/registry").await, (1_002, chain));
}

#[tokio::test]
async fn what_operators_decide_is_seen_in_every_answer() {
    let mut bank = Bank::new();
    let before = Registry::from_genesis(&bank.network.spec);
    let mut joining = before.operators[1].clone();
    "Ember".clone_into(&mut joining.name);
    joining.key = bank.network.banks[0].network_key.public_key();
    let mut params = before.chains[0].params.clone();
    params.block_pace_ms = 75;
    let proposal = Proposal {
        version: 0,
        valid_until: terms().valid_until,
        is_urgent: false,
        reason: "Ember joins".to_owned(),
        changes: vec![Change::AddOperator(joining), Change::SetParams { chain: CHAIN, params }],
    };
    let (carrier, operation) = (bank.bank(), approved(&bank, proposal));
    let transaction = bank.sign(&carrier, operation);
    let id = transaction.id(bank.genesis);
    bank.execute(vec![transaction], false);
    bank.execute(Vec::new(), true);
    let router = bank.router();
    let status: TransactionStatus = get(&router, &api::path::transaction(id)).await.json();
    assert!(status.outcome.as_ref().is_some_and(|outcome| outcome.is_applied), "{status:?}");
    let Some(OperationView::Govern { proposal, approved_by }) =
        status.transaction.map(|transaction| transaction.operation)
    else {
        panic!("no proposal")
    };
    assert_eq!((proposal.reason.as_str(), approved_by), ("Ember joins", vec![1, 2, 3]));

    let view: NetworkView = get(&router, api::path::NETWORK).await.json();
    let joined = &view.operators[5];
    assert_eq!((view.registry_version, joined.name.as_str(), joined.has_left), (1, "Ember", false));
    let chain: ChainView = get(&router, &api::path::chain(CHAIN)).await.json();
    let progress = chain.progress.unwrap();
    let epoch = (progress.epoch, progress.epoch_first_height, progress.closing_height);
    assert_eq!((progress.registry_version, epoch), (1, (0, 1, None)));
    // Its own wallet was opened with it.
    let own = view.operator_wallet("CNY".parse().unwrap(), joined);
    assert_eq!(get(&router, &api::path::wallet(own)).await.status.as_u16(), 200);
    let (proof, _) = registry(&mut bank).await;
    proof.verify(&bank.network.spec).unwrap();
    assert_eq!((proof.registry.version, proof.registry.chains[0].params.block_pace_ms), (1, 75));
}

#[tokio::test]
async fn the_origin_of_a_chain_that_was_added_is_proved_with_the_genesis_spec_alone() {
    let mut bank = Bank::new();
    let (router, child) = (bank.router(), ChainId(2));
    let path = api::path::origin(child);
    let none = (1_414, Some("chain".to_owned()));
    for chain in [CHAIN, ChainId(1), child, ChainId(9)] {
        assert_eq!(refusal(&router, &api::path::origin(chain)).await, none, "{chain}");
    }
    assert_eq!(refusal(&router, "/v1/chains/x/origin").await.0, 1_002);

    let seat = |(seed, bank): (u8, &genesis::dev::BankSecrets)| ValidatorRecord {
        operator: bank.operator.id,
        node: bank.node,
        consensus_key: SecretKey::from_seed([seed; 32]).public_key(),
    };
    let mut validators: Vec<ValidatorRecord> = (90..).zip(&bank.network.banks).map(seat).collect();
    validators.sort_unstable_by_key(|validator| validator.consensus_key);
    let proposal = Proposal {
        version: 0,
        valid_until: terms().valid_until,
        is_urgent: false,
        reason: "grow".to_owned(),
        changes: vec![Change::AddChain { parent: CHAIN, validators: validators.clone() }],
    };
    let (carrier, operation) = (bank.bank(), approved(&bank, proposal));
    let transaction = bank.sign(&carrier, operation);
    bank.execute(vec![transaction], false);
    assert_eq!(refusal(&router, &path).await, none, "no certificate covers it yet");
    bank.execute(Vec::new(), true);

    let answer = get(&router, &path).await;
    assert_eq!(answer.headers["content-type"], "application/octet-stream");
    let origin = ChainOrigin::decode(&answer.body).unwrap();
    let begins_with = origin.verify(&bank.network.spec, child).unwrap();
    let record = begins_with.chain(child).unwrap();
    let birth = Birth::Child { parent: CHAIN, height: Height(1), growth: Growth::Added };
    assert_eq!((record.birth, &record.wanted), (birth, &validators));
    assert!(origin.verify(&bank.network.spec, ChainId(1)).is_err(), "genesis names it");

    let view: ChainView = get(&router, &api::path::chain(child)).await.json();
    let shown = view.birth.unwrap();
    assert_eq!((shown.parent, shown.height, shown.growth), (CHAIN.0, 1, GrowthName::Added));
    assert_eq!((view.validators.len(), view.progress), (4, None), "this node does not host it");
    let parent: ChainView = get(&router, &api::path::chain(CHAIN)).await.json();
    assert_eq!(parent.birth, None);
}

/// A proposal that gives the chain another pace.
fn pace(bank: &Bank, version: u64, block_pace_ms: u64) -> Proposal {
    let mut params = Registry::from_genesis(&bank.network.spec).chains[0].params.clone();
    params.block_pace_ms = block_pace_ms;
    let changes = vec![Change::SetParams { chain: CHAIN, params }];
    let valid_until = terms().valid_until;
    Proposal { version, valid_until, is_urgent: false, reason: String::new(), changes }
}

#[tokio::test]
async fn what_became_of_a_proposal_is_told_by_the_version_that_it_changes() {
    let mut bank = Bank::new();
    let (router, carrier) = (bank.router(), bank.bank());
    let none = VersionView { version: 0, registry_version: 0, applied: None };
    assert_eq!(get(&router, &api::path::proposal(0)).await.json::<VersionView>(), none);

    let proposals = [pace(&bank, 0, 75), pace(&bank, 0, 80), pace(&bank, 1, 90)];
    let hashes = proposals.each_ref().map(|proposal| proposal.hash(bank.genesis).to_string());
    let [first, late, second] = proposals.map(|proposal| {
        let operation = approved(&bank, proposal);
        bank.sign(&carrier, operation)
    });
    let ids = [first.id(bank.genesis), second.id(bank.genesis)];
    // The late one names a version that is gone when its turn comes: it is rejected.
    bank.execute(vec![first, late], false);
    bank.execute(Vec::new(), true);
    bank.execute(vec![second], false);
    for (version, height, is_certified, hash, id) in
        [(0, 1, true, &hashes[0], ids[0]), (1, 3, false, &hashes[2], ids[1])]
    {
        let view: VersionView = get(&router, &api::path::proposal(version)).await.json();
        let applied = view.applied.unwrap();
        assert_eq!((view.registry_version, applied.height, applied.is_certified), (2, height, is_certified));
        assert_eq!((applied.proposal.as_ref(), applied.transaction), (Some(hash), Some(id)), "{version}");
    }
    let open: VersionView = get(&router, &api::path::proposal(2)).await.json();
    assert_eq!((open.registry_version, open.applied), (2, None));
    let path = api::path::PROPOSAL.replace("{version}", "x");
    assert_eq!(refusal(&router, &path).await, (1_002, Some("version".to_owned())));
}
