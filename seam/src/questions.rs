//! Requests of the engine as inputs of the chain, and the chain's answers as replies.
//!
//! What is open is bounded by the engine: it asks one proposal and one verdict at a time, and one availability for each view
//! that it keeps. What it gave up is found by [`Questions::cancelled`], which the driver calls after each step.

use std::collections::BTreeMap;

use bytes::Bytes;
use chain::{Answer, Input, Question, Ticket, Turn};
use consensus::{Recipients, Reply, Request, Slot};
use ledger::values::{BlockDigest, Canonical, Epoch, ValidatorIndex, View};

/// The engine's questions without an answer, and the way to answer each.
#[derive(Debug, Default)]
pub struct Questions {
    open: BTreeMap<Ticket, (Question, Pending)>,
    next_ticket: u64,
}

/// How to answer the engine.
#[derive(Debug)]
enum Pending {
    Proposal(Reply<[u8; 32]>),
    Verdict(Reply<bool>),
}

impl Pending {
    fn is_cancelled(&self) -> bool {
        match self {
            Self::Proposal(reply) => reply.is_cancelled(),
            Self::Verdict(reply) => reply.is_cancelled(),
        }
    }
}

impl Questions {
    /// What the engine wants, for the chain; a question is kept until it is answered or given up.
    pub fn asked(&mut self, request: Request) -> Input {
        match request {
            Request::Propose { slot, parent, reply } => {
                let turn = turn(slot, parent);
                self.ask(slot.epoch, Question::Propose { turn }, Pending::Proposal(reply))
            }
            Request::Validate { slot, parent, digest, reply } => {
                let question = Question::Validate { turn: turn(slot, parent), digest: BlockDigest(digest) };
                self.ask(slot.epoch, question, Pending::Verdict(reply))
            }
            Request::Available { epoch, view, digest, reply } => {
                let question = Question::Available { view: View(view), digest: BlockDigest(digest) };
                self.ask(epoch, question, Pending::Verdict(reply))
            }
            Request::Disseminate { digest, to, .. } => {
                let to = match to {
                    Recipients::All => None,
                    Recipients::Some(validators) => {
                        Some(validators.into_iter().map(ValidatorIndex).collect())
                    }
                };
                Input::Disseminate { digest: BlockDigest(digest), to }
            }
            Request::Finalized(proof) => Input::Finalized {
                epoch: proof.epoch,
                view: proof.view,
                digest: proof.digest,
                certificate: Bytes::from(proof.encode()),
            },
            Request::Evidence(evidence) => Input::Misbehaved {
                epoch: Epoch(evidence.epoch),
                validator: ValidatorIndex(evidence.validator),
                evidence: Bytes::from(evidence.bytes),
            },
        }
    }

    fn ask(&mut self, epoch: u64, question: Question, reply: Pending) -> Input {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket = self.next_ticket.wrapping_add(1);
        self.open.insert(ticket, (question, reply));
        Input::Asked { ticket, epoch: Epoch(epoch), question }
    }

    /// Gives the engine its answer; tells which question it was, `None` where nobody waits any more.
    pub fn answer(&mut self, ticket: Ticket, answer: Answer) -> Option<Question> {
        let (question, reply) = self.open.remove(&ticket)?;
        match (reply, answer) {
            (Pending::Proposal(reply), Answer::Proposal(digest)) => {
                let _late = reply.send(digest.0);
            }
            (Pending::Verdict(reply), Answer::Verdict(verdict)) => {
                let _late = reply.send(verdict);
            }
            // Dropping the reply declines.
            _ => {}
        }
        Some(question)
    }

    /// The engine's epoch has ended: it needs no answers any more, and the chain has forgotten the questions. Tickets go on.
    pub fn forget(&mut self) {
        self.open.clear();
    }

    /// Lets go of what the engine gave up; the chain must be told.
    pub fn cancelled(&mut self) -> Vec<Input> {
        let given_up = self.open.extract_if(.., |_, (_, reply)| reply.is_cancelled());
        given_up.map(|(ticket, _)| Input::Cancelled(ticket)).collect()
    }
}

fn turn(slot: Slot, parent: [u8; 32]) -> Turn {
    Turn { view: View(slot.view), leader: ValidatorIndex(slot.leader), parent: BlockDigest(parent) }
}

#[cfg(test)]
mod tests {
    use consensus::{Evidence, EvidenceKind};
    use ledger::proofs::FinalityProof;
    use ledger::values::ChainId;

    use super::*;

    #[test]
    fn what_needs_no_answer_passes_with_all_its_fields() {
        let mut questions = Questions::default();
        let digest = [7; 32];
        for (to, expected) in [
            (Recipients::All, None),
            (Recipients::Some(vec![2, 0]), Some(vec![ValidatorIndex(2), ValidatorIndex(0)])),
        ] {
            match questions.asked(Request::Disseminate { epoch: 0, view: 3, digest, to }) {
                Input::Disseminate { digest: found, to } => {
                    assert_eq!((found, to), (BlockDigest(digest), expected));
                }
                other => panic!("{other:?}"),
            }
        }
        let proof = FinalityProof {
            chain: ChainId(0),
            epoch: Epoch(5),
            view: View(9),
            parent_view: View(8),
            digest: BlockDigest(digest),
            bytes: vec![1; 100],
        };
        match questions.asked(Request::Finalized(proof.clone())) {
            Input::Finalized { epoch, view, digest, certificate } => {
                assert_eq!((epoch, view, digest), (proof.epoch, proof.view, proof.digest));
                assert_eq!(FinalityProof::decode(&certificate), Ok(proof));
            }
            other => panic!("{other:?}"),
        }
        let kind = EvidenceKind::ConflictingNotarize;
        let evidence = Evidence { kind, epoch: 2, view: 4, validator: 1, bytes: vec![5; 10] };
        match questions.asked(Request::Evidence(evidence)) {
            Input::Misbehaved { epoch, validator, evidence } => {
                assert_eq!((epoch, validator), (Epoch(2), ValidatorIndex(1)));
                assert_eq!(evidence, Bytes::from(vec![5_u8; 10]));
            }
            other => panic!("{other:?}"),
        }
        assert!(questions.cancelled().is_empty());
        assert_eq!(questions.answer(Ticket(0), Answer::Decline), None, "nothing was asked");
    }
}
