//! The application as the engine sees it: questions go into the mailbox, answers come back by oneshot.

use crate::counters::{Meters, count};
use crate::mailbox::RequestSender;
use crate::request::{Evidence, EvidenceKind, Recipients, Reply, Slot};
use crate::validators::Validators;
use commonware_actor::Feedback;
use commonware_codec::Encode as _;
use commonware_consensus::simplex::Plan;
use commonware_consensus::simplex::scheme::ed25519::Scheme;
use commonware_consensus::simplex::types::{Activity, Attributable, Context, Finalization};
use commonware_consensus::types::Round;
use commonware_consensus::{Automaton, CertifiableAutomaton, Epochable, Relay, Reporter, Viewable};
use commonware_cryptography::ed25519::PublicKey;
use commonware_cryptography::sha256::Digest;
use commonware_p2p::Recipients as PeerRecipients;
use commonware_parallel::Sequential;
use commonware_utils::sync::Mutex;
use ledger::proofs::FinalityProof;
use ledger::values;
use rand::rngs::StdRng;
use std::sync::Arc;
use tokio::sync::oneshot;

/// The engine's handle to the application.
#[derive(Clone)]
pub(crate) struct Application {
    pub(crate) chain: u32,
    pub(crate) scheme: Scheme,
    pub(crate) validators: Arc<Validators>,
    pub(crate) requests: RequestSender,
    pub(crate) meters: Arc<Meters>,
    /// Only for the check of evidence.
    pub(crate) randomness: Arc<Mutex<StdRng>>,
}

impl Application {
    fn slot(&self, context: &Context<Digest, PublicKey>) -> Option<Slot> {
        Some(Slot {
            epoch: context.round.epoch().get(),
            view: context.round.view().get(),
            parent_view: context.parent.0.get(),
            leader: self.validators.index(&context.leader)?,
        })
    }

    fn report_finalized(&self, finalization: &Finalization<Scheme, Digest>) {
        let proposal = &finalization.proposal;
        let view = proposal.round.view().get();
        self.meters.finalized(view);
        self.requests.finalized(FinalityProof {
            chain: values::ChainId(self.chain),
            epoch: values::Epoch(proposal.round.epoch().get()),
            view: values::View(view),
            parent_view: values::View(proposal.parent.get()),
            digest: values::BlockDigest(proposal.payload.0),
            bytes: finalization.encode().to_vec(),
        });
    }

    /// Passes evidence on if both its signatures hold: the engine reports conflicts before it checks them.
    fn report_evidence<A>(&self, kind: EvidenceKind, votes: &A, activity: &Activity<Scheme, Digest>)
    where
        A: Attributable + Epochable + Viewable + commonware_codec::Encode,
    {
        if !activity.verify(&mut *self.randomness.lock(), &self.scheme, &Sequential) {
            return;
        }
        let Ok(validator) = u16::try_from(usize::from(votes.signer())) else { return };
        self.requests.evidence(Evidence {
            kind,
            epoch: votes.epoch().get(),
            view: votes.view().get(),
            validator,
            bytes: votes.encode().to_vec(),
        });
    }
}

impl Automaton for Application {
    type Context = Context<Digest, PublicKey>;
    type Digest = Digest;

    async fn propose(&mut self, context: Self::Context) -> oneshot::Receiver<Digest> {
        let (reply, receiver) = Reply::channel_as(Digest);
        if let Some(slot) = self.slot(&context) {
            self.requests.propose(slot, context.parent.1.0, reply);
        }
        receiver
    }

    async fn verify(&mut self, context: Self::Context, payload: Digest) -> oneshot::Receiver<bool> {
        let (reply, receiver) = Reply::channel();
        if let Some(slot) = self.slot(&context) {
            self.requests.validate(slot, context.parent.1.0, payload.0, reply);
        }
        receiver
    }
}

impl CertifiableAutomaton for Application {
    async fn certify(&mut self, round: Round, payload: Digest) -> oneshot::Receiver<bool> {
        let (reply, receiver) = Reply::channel();
        self.requests.available(round.epoch().get(), round.view().get(), payload.0, reply);
        receiver
    }
}

impl Relay for Application {
    type Digest = Digest;
    type PublicKey = PublicKey;
    type Plan = Plan<PublicKey>;

    fn broadcast(&mut self, payload: Digest, plan: Plan<PublicKey>) -> Feedback {
        let index = |key: &PublicKey| self.validators.index(key);
        let (round, to) = match plan {
            // Staged candidates come only from an automaton that implements `prepare`; this one does not.
            Plan::Prepare { .. } => return Feedback::Ok,
            Plan::Propose { round } => (round, Recipients::All),
            Plan::Forward { round, recipients } => match recipients {
                PeerRecipients::All => (round, Recipients::All),
                PeerRecipients::Some(keys) => {
                    (round, Recipients::Some(keys.iter().filter_map(index).collect()))
                }
                PeerRecipients::One(key) => (round, Recipients::Some(index(&key).into_iter().collect())),
            },
        };
        self.requests.disseminate(round.epoch().get(), round.view().get(), payload.0, to);
        Feedback::Ok
    }
}

impl Reporter for Application {
    type Activity = Activity<Scheme, Digest>;

    fn report(&mut self, activity: Self::Activity) -> Feedback {
        match &activity {
            Activity::Finalization(finalization) => self.report_finalized(finalization),
            Activity::Notarization(_) => count(&self.meters.views_notarized),
            Activity::Nullification(_) => count(&self.meters.views_nullified),
            Activity::ConflictingNotarize(votes) => {
                self.report_evidence(EvidenceKind::ConflictingNotarize, votes, &activity);
            }
            Activity::ConflictingFinalize(votes) => {
                self.report_evidence(EvidenceKind::ConflictingFinalize, votes, &activity);
            }
            Activity::NullifyFinalize(votes) => {
                self.report_evidence(EvidenceKind::NullifyFinalize, votes, &activity);
            }
            Activity::Notarize(_)
            | Activity::Nullify(_)
            | Activity::Finalize(_)
            | Activity::Certification(_) => {}
        }
        Feedback::Ok
    }
}
