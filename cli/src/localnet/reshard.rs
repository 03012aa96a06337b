//! Doubling the shards of a currency of a localnet, as its operators would do it on a real network: keys and offers of every bank, a
//! proposal that adds a child for each chain, approvals of all, a restart of one bank after the other, the children's reports, the
//! proposal that doubles, and the moving of wallets. Payments may go on meanwhile.
//!
//! A run that ended in between is taken up: children that are there are not added again, banks that run them are not restarted. Once
//! wallets move there is nothing to take up: they go on by themselves, and a run is refused until they are done.

use std::process::Child;
use std::time::{Duration, Instant};

use api::ErrorCode;
use genesis::governance::growth::{child, growth, growth_name, homes, next_chain};
use genesis::governance::{Draft, ProposalFile, Terms};
use ledger::proofs::RegistryProof;
use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{GenesisSpec, Growth, Operation, Registry};
use ledger::values::{Amount, ChainId, Currency, Height, SecretKey, TimestampMs};
use node::config::{CHAINS_HOSTED_MAX, NodeConfig};
use serde::Serialize;
use wallet::{KeyKind, Passphrase};

use super::cut::Cut;
use super::layout::{BankEntry, Layout, Manifest};
use super::process::NodeCommand;
use super::ready::Watch;
use crate::commands::audit::load_spec;
use crate::commands::genesis::{OPERATOR_FILE, load_key};
use crate::commands::gov::{failure, registry};
use crate::commands::node_chain::{first_key, host_chain};
use crate::connection::{NodeOptions, Terms as ChainTerms};
use crate::failure::{Answer, Exit, Failure};
use crate::keystore::Keystore;
use crate::output::{Output, Show, facts, grouped, table};
use crate::progress::Progress;
use crate::send::{LegOptions, Wait, WaitOptions, wall_clock_ms};
use crate::sender::Sender;

/// How long a proposal may wait: it is approved and applied at once.
const VALID_FOR_MS: u64 = 600_000;
/// How long a proposal may take to be certified.
const CERTIFIED_WITHIN_SECONDS: u64 = 60;
/// Pause between two looks at the registry.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Digits of a state root that people see.
const ROOT_DIGITS: usize = 16;

/// What became of the shards of a currency.
#[derive(Debug, Serialize)]
pub struct Resharded {
    currency: String,
    shards_before: usize,
    shards: usize,
    /// Wallets that the children were told of.
    moved: u64,
    took_ms: u64,
    /// All money of the currency just before the doubling, and after.
    money_before: Cut,
    money: Cut,
    /// The currency's chains by id.
    chains: Vec<Shard>,
}

/// A chain before and after.
#[derive(Debug, Serialize)]
struct Shard {
    chain: u32,
    shard: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent: Option<u32>,
    before: Look,
    after: Look,
}

/// A certified state of a chain. Chains are looked at one after the other, so what they hold is not to be added up: see [`Cut`].
#[derive(Debug, Clone, Serialize)]
struct Look {
    height: u64,
    /// Wallets and other records, those included that have moved away.
    records: u64,
    holds_fen: u64,
    state_root: String,
}

impl From<&RegistryProof> for Look {
    fn from(proof: &RegistryProof) -> Self {
        let result = &proof.certified.result;
        Self {
            height: result.height.0,
            records: proof.parts.records,
            holds_fen: result.supply.holdings.fen(),
            state_root: result.state.to_string(),
        }
    }
}

impl Show for Resharded {
    fn text(&self) -> String {
        let money = |fen: u64| Amount::from_fen(fen).to_string();
        let root = |look: &Look| look.state_root.chars().take(ROOT_DIGITS).collect::<String>();
        let row = |shard: &Shard, when: &str, look: &Look| {
            vec![
                shard.chain.to_string(),
                shard.shard.to_string(),
                shard.parent.map_or_else(|| "-".to_owned(), |parent| parent.to_string()),
                when.to_owned(),
                grouped(look.height),
                grouped(look.records),
                money(look.holds_fen),
                root(look),
            ]
        };
        let rows = self
            .chains
            .iter()
            .flat_map(|shard| [row(shard, "before", &shard.before), row(shard, "after", &shard.after)]);
        let header = ["chain", "shard", "parent", "when", "height", "records", "holds", "state root"];
        let all = |cut: &Cut| {
            let under_way = match cut.under_way_fen {
                0 => String::new(),
                fen => format!(", {} of it under way,", money(fen)),
            };
            format!("{}{under_way} at heights {}", money(cut.sum_fen()), cut.told())
        };
        let wallets = if self.moved == 1 { "wallet" } else { "wallets" };
        let lines = [
            ("currency", self.currency.clone()),
            ("shards", format!("{}, before {}", self.shards, self.shards_before)),
            ("moved", format!("{} {wallets}", grouped(self.moved))),
            ("before", all(&self.money_before)),
            ("money", all(&self.money)),
            ("took", format!("{:.1} s", Duration::from_millis(self.took_ms).as_secs_f64())),
        ];
        format!("{}\n\n{}", table(&header, rows, &[0, 1, 2, 4, 5, 6]), facts(&lines))
    }
}

/// Doubles the shards of a currency, and waits until every wallet is at home.
///
/// # Errors
/// [`Failure`] naming the step that failed; the command may be run again.
pub fn reshard(
    layout: &Layout,
    manifest: &Manifest,
    currency: Currency,
    timeout: Duration,
    output: Output,
) -> Answer<Resharded> {
    let (started, progress) = (Instant::now(), Progress::new("resharding", None, output.is_json()));
    let step = |what: &str| {
        progress.say(what.to_owned());
        output.note(what);
    };
    let ceremony = Ceremony::new(layout, manifest, timeout)?;
    let registry = ceremony.registry(ROOT_CHAIN)?.registry;
    let parents: Vec<ChainId> = homes(&registry, currency).map(|record| record.chain).collect();
    require_resting(&registry, currency, &parents)?;
    step("proposing and approving a child for each chain");
    let children = ceremony.add_children(&registry, currency, &parents)?;
    step("restarting the banks, one after the other");
    ceremony.host(&children, &progress)?;
    step("waiting until the children report that they run");
    ceremony.wait_growth(&children, Growth::Ready)?;
    let chains: Vec<ChainId> = parents.iter().chain(&children).copied().collect();
    let (before, money_before) = ceremony.looks(&chains)?;
    step("proposing and approving the doubling");
    let reason = format!("twice as many shards of {currency}");
    ceremony.govern(&reason, |draft| draft.reshard(currency).map_err(failure))?;
    step("waiting until all wallets have moved");
    ceremony.wait_growth(&children, Growth::Grown)?;
    let registry = ceremony.registry(ROOT_CHAIN)?.registry;
    let (after, money) = ceremony.looks(&chains)?;
    let shards = chains.iter().zip(before).zip(after).filter_map(|((chain, before), after)| {
        let record = registry.chain(*chain)?;
        let parent = record.parent().filter(|_| children.contains(chain)).map(|parent| parent.0);
        Some(Shard { chain: chain.0, shard: record.shard, parent, before, after })
    });
    let chains: Vec<Shard> = shards.collect();
    let gained = chains.iter().filter(|shard| shard.parent.is_some());
    Ok(Resharded {
        currency: currency.to_string(),
        shards_before: parents.len(),
        shards: chains.len(),
        moved: gained.map(|shard| shard.after.records.saturating_sub(shard.before.records)).sum(),
        took_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        money_before,
        money,
        chains,
    })
}

/// The network has the currency, nothing of it moves, and a node can host twice as many chains of it.
fn require_resting(registry: &Registry, currency: Currency, parents: &[ChainId]) -> Answer {
    if parents.is_empty() {
        let message = format!("the network has no {currency}");
        return Err(Failure::usage("currency_unknown", message)
            .at("--currency")
            .mend("see which it has: jiaozi chain list"));
    }
    let fellows = registry.chains.iter().filter(|record| record.currency == currency);
    if let Some(filling) = fellows.clone().find(|record| growth(record) == Some(Growth::Filling)) {
        let message = format!("chain {} still takes in wallets", filling.chain);
        return Err(Failure::refused("not_grown", message)
            .at("--currency")
            .mend(
                "wait until `jiaozi gov status` shows it grown; if a run of this command was interrupted, that completes it: \
                 another one doubles once more",
            ));
    }
    let others = registry.chains.len().saturating_sub(fellows.count());
    let then = others.saturating_add(parents.len().saturating_mul(2));
    if then > CHAINS_HOSTED_MAX {
        let message = format!("{then} chains then; one node hosts at most {CHAINS_HOSTED_MAX}");
        return Err(Failure::refused("localnet_chains", message)
            .at("--currency")
            .mend("begin a network with fewer chains"));
    }
    Ok(())
}

/// The operators of a localnet, who act together.
struct Ceremony<'a> {
    layout: &'a Layout,
    banks: &'a [BankEntry],
    spec: GenesisSpec,
    passphrase: Passphrase,
    /// The first bank's own wallet on the root chain, which carries proposals.
    sender: Sender,
    key: SecretKey,
    watch: Watch,
    timeout: Duration,
}

impl<'a> Ceremony<'a> {
    fn new(layout: &'a Layout, manifest: &'a Manifest, timeout: Duration) -> Answer<Self> {
        let banks = manifest.banks.as_slice();
        let first =
            banks.first().ok_or_else(|| Failure::usage("localnet_manifest", "the network has no banks"))?;
        let spec = load_spec(&layout.genesis())?;
        let passphrase =
            Passphrase::load(&layout.passphrase()).map_err(|fault| Failure::usage("passphrase", fault))?;
        let keystore = Keystore::at(layout.wallets());
        let entry = keystore.find(&first.name)?;
        let key = keystore.secret(&entry, &passphrase)?;
        let node = NodeOptions { node: first.url(), token_file: None, ca_file: None, chain: None };
        let connection = node.connect()?;
        let network = connection.network(Some(spec.hash()))?;
        let terms = ChainTerms { genesis: spec.hash(), chain: ROOT_CHAIN, currency: entry.currency()? };
        let sender = Sender::new(connection, network, terms, keystore, entry);
        let watch = Watch::new(banks)?;
        let mut numbered = banks.iter().enumerate();
        if let Some((_, silent)) = numbered.find(|(number, _)| watch.look(*number).is_none()) {
            let message = format!("the node of {} does not answer", silent.name);
            return Err(Failure::unreachable("localnet_not_running", message)
                .mend("start all of them, jiaozi localnet up, then run the command again"));
        }
        Ok(Self { layout, banks, spec, passphrase, sender, key, watch, timeout })
    }

    /// A chain's registry, proved.
    fn registry(&self, chain: ChainId) -> Answer<RegistryProof> {
        registry(&self.sender.connection, &self.spec, chain)
    }

    /// What each of these chains is now, and their money at the newest cut at or below the heights of that.
    fn looks(&self, chains: &[ChainId]) -> Answer<(Vec<Look>, Cut)> {
        let looks = chains.iter().map(|chain| self.registry(*chain).map(|proof| Look::from(&proof)));
        let looks: Vec<Look> = looks.collect::<Answer<_>>()?;
        let newest = chains.iter().zip(&looks).map(|(chain, look)| (*chain, Height(look.height)));
        let connection = &self.sender.connection;
        let cut = Cut::below(&newest.collect::<Vec<_>>(), |chain, height| {
            let block = connection.wait(connection.client.block(chain, height))?;
            block.result.map(|result| result.supply).ok_or_else(|| {
                let message = format!("the node has not executed height {height} of chain {chain}");
                Failure::unreachable("no_result", message).mend("look at the logs of the first bank")
            })
        })?;
        Ok((looks, cut))
    }

    /// The children of these chains, by id; what is missing is added by one proposal.
    fn add_children(
        &self,
        registry: &Registry,
        currency: Currency,
        parents: &[ChainId],
    ) -> Answer<Vec<ChainId>> {
        let (mut children, mut missing) = (Vec::new(), Vec::new());
        for parent in parents {
            match child(registry, *parent) {
                Some(child) => children.push(child.chain),
                None => missing.push(*parent),
            }
        }
        if !missing.is_empty() {
            let genesis = self.spec.hash();
            self.govern(&format!("a child for every chain of {currency}"), |draft| {
                for parent in missing {
                    let offers = self.offers(next_chain(draft.registry()))?;
                    children.push(draft.add_chain(genesis, parent, &offers).map_err(failure)?);
                }
                Ok(())
            })?;
        }
        children.sort_unstable();
        Ok(children)
    }

    /// What every bank offers for a chain to come.
    fn offers(&self, chain: ChainId) -> Answer<Vec<genesis::governance::SeatOffer>> {
        let offer = |bank: &BankEntry| {
            let config = NodeConfig::load(&self.layout.config(&bank.name));
            let config = config.map_err(|fault| Failure::usage("node_config", fault))?;
            first_key(&config, chain).map(|made| made.offer)
        };
        self.banks.iter().map(offer).collect()
    }

    /// Proposes what `draw` draws, approves it as every bank and applies it.
    fn govern(&self, reason: &str, draw: impl FnOnce(&mut Draft) -> Answer) -> Answer {
        let proof = self.registry(ROOT_CHAIN)?;
        let mut draft = Draft::new(proof.registry.clone());
        draw(&mut draft)?;
        let valid_until = TimestampMs(wall_clock_ms().saturating_add(VALID_FOR_MS));
        let terms = Terms { reason: reason.to_owned(), valid_until, is_urgent: false };
        let proofs = draft.proofs().clone();
        let proposal = draft.proposal(terms).map_err(failure)?;
        let mut file = ProposalFile::new(&self.spec, proof, proposal, proofs).map_err(failure)?;
        for bank in self.banks {
            let path = self.layout.bank(&bank.name).join("keys").join(OPERATOR_FILE);
            let key = load_key(&path, KeyKind::OperatorKey, &self.passphrase)?;
            file.approve(&key).map_err(failure)?;
        }
        let approvals = file.complete().map_err(failure)?;
        let operation = Operation::Govern { proposal: file.proposal().clone(), approvals };
        let transaction = self.sender.sign(operation, &self.key, Output::new(true))?;
        let options = WaitOptions {
            wait: Wait::Certified,
            timeout: Some(CERTIFIED_WITHIN_SECONDS),
            legs: LegOptions::default(),
        };
        self.sender.submit(&transaction, &options, Output::new(true)).map(drop)
    }

    /// Writes the chains into the configuration of every bank and restarts it, one bank after the other: the next one stops when the
    /// last one votes again.
    fn host(&self, chains: &[ChainId], progress: &Progress) -> Answer {
        let mut children: Vec<Option<Child>> = Vec::new();
        for (number, bank) in self.banks.iter().enumerate() {
            let path = self.layout.config(&bank.name);
            let config = NodeConfig::load(&path).map_err(|fault| Failure::usage("node_config", fault))?;
            let hosted = config.node.chains;
            let new: Vec<ChainId> =
                chains.iter().filter(|chain| !hosted.contains(&chain.0)).copied().collect();
            for chain in &new {
                // A node that does not know yet what the chain begins with would start without it, and wait.
                let origin = self.watch.wait_origin(self.layout, (number, bank), *chain, self.timeout)?;
                host_chain(&path, *chain, |_| Ok(Some(origin)))?;
            }
            // An earlier run may have ended between the writing and the start.
            let serves = |chain: &ChainId| {
                let seen = self.watch.look(number).map(|seen| seen.ready.chains).unwrap_or_default();
                seen.iter().any(|ready| ready.chain == chain.0)
            };
            let is_as_told = new.is_empty() && chains.iter().all(serves);
            let served: Vec<u32> =
                hosted.into_iter().filter(|hosted| !chains.iter().any(|chain| chain.0 == *hosted)).collect();
            let restarted = if is_as_told { None } else { Some(self.restart(number, bank, &served)?) };
            children.push(restarted);
        }
        self.watch.wait_ready(self.layout, self.banks, &mut children, self.timeout, progress)
    }

    fn restart(&self, number: usize, bank: &BankEntry, served: &[u32]) -> Answer<Child> {
        let command = NodeCommand::new(self.layout.config(&bank.name))?;
        let pid_file = self.layout.pid(&bank.name);
        let found = command.find(&pid_file)?;
        if let Some(pid) = found.stranger() {
            let message = format!(
                "process {pid} of {} is not recognized as a node of this network",
                pid_file.display()
            );
            return Err(Failure::refused("process_not_recognized", message)
                .mend("look at it with ps; stop it yourself if it is a node, or remove the pid file"));
        }
        if let Some(node) = found.node() {
            node.stop()?;
        }
        let mut child = command.start(&self.layout.log(&bank.name), &pid_file)?;
        self.watch.wait_serving(self.layout, (number, bank), &mut child, served, self.timeout)?;
        Ok(child)
    }

    /// Waits until all of these chains are as far, as the root chain has heard.
    fn wait_growth(&self, chains: &[ChainId], wanted: Growth) -> Answer {
        let started = Instant::now();
        // The doubling was decided once wallets move: another run would double once more.
        let mend = if wanted == Growth::Grown {
            "look at the logs of the banks; wallets go on moving by themselves until `jiaozi gov status` shows the chain grown: do not run \
             the command again for that, it would double the shards once more"
        } else {
            "look at the logs of the banks and at `jiaozi gov status`; then run the command again"
        };
        loop {
            let found = match self.registry(ROOT_CHAIN) {
                Ok(proof) => proof.registry,
                // A bank that was restarted just now, or no certificate in time.
                Err(failure) if is_passing(&failure) && started.elapsed() < self.timeout => {
                    std::thread::sleep(LOOK_AGAIN);
                    continue;
                }
                Err(failure) => return Err(failure),
            };
            let so_far = |chain: &ChainId| found.chain(*chain).and_then(growth);
            let behind = chains.iter().find(|chain| so_far(chain).is_none_or(|growth| growth < wanted));
            let Some(behind) = behind else { return Ok(()) };
            if started.elapsed() > self.timeout {
                let is = so_far(behind).map_or("not there", growth_name);
                let (wanted, seconds) = (growth_name(wanted), self.timeout.as_secs());
                let message = format!("after {seconds} s chain {behind} is {is}, not {wanted}");
                return Err(Failure::unreachable("reshard_not_done", message).mend(mend));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

fn is_passing(failure: &Failure) -> bool {
    let not_certified = ErrorCode::NotCertified.code().to_string();
    failure.exit == Exit::Unreachable || failure.code.starts_with(&not_certified)
}

#[cfg(test)]
mod tests {
    use genesis::dev::{LocalnetPlan, localnet};
    use ledger::records::Birth;

    use super::*;
    use crate::localnet::cut::PlaceInTime;

    fn registry() -> Registry {
        let (cny, hkd) = (Currency(*b"CNY"), Currency(*b"HKD"));
        let mut plan = LocalnetPlan::new(4);
        plan.chains = vec![(cny, 0), (cny, 1), (hkd, 0)];
        Registry::from_genesis(&localnet(&plan, &[1; 32]).unwrap().spec)
    }

    #[test]
    fn a_currency_that_is_unknown_moving_or_too_large_is_refused() {
        let (cny, mut registry) = (Currency(*b"CNY"), registry());
        let parents = [ChainId(0), ChainId(1)];
        assert!(require_resting(&registry, cny, &parents).is_ok());
        let code = |refused: Answer| refused.unwrap_err().code;
        assert_eq!(code(require_resting(&registry, Currency(*b"USD"), &[])), "currency_unknown");
        let many: Vec<ChainId> = (0..5).map(ChainId).collect();
        assert_eq!(code(require_resting(&registry, cny, &many)), "localnet_chains");
        registry.chains[1].birth =
            Birth::Child { parent: ChainId(0), height: Height(5), growth: Growth::Filling };
        assert_eq!(code(require_resting(&registry, cny, &parents)), "not_grown");
    }

    #[test]
    fn what_moved_is_shown_with_roots_and_sums() {
        let look = |records, holds_fen, digit: char| Look {
            height: 7,
            records,
            holds_fen,
            state_root: digit.to_string().repeat(64),
        };
        let shard = |chain, parent, before, after| Shard { chain, shard: 0, parent, before, after };
        let cut = |heights: [u64; 2], held_fen, under_way_fen| {
            let places = [0, 3].into_iter().zip(heights);
            let heights = places.map(|(chain, height)| PlaceInTime { chain, height }).collect();
            Cut { heights, held_fen, under_way_fen }
        };
        let shown = Resharded {
            currency: "CNY".to_owned(),
            shards_before: 1,
            shards: 2,
            moved: 1_500,
            took_ms: 2_340,
            money_before: cut([6, 2], 90_000, 0),
            money: cut([7, 5], 89_000, 1_000),
            chains: vec![
                shard(0, None, look(3_007, 90_000, 'a'), look(3_007, 50_000, 'b')),
                shard(3, Some(0), look(7, 0, 'c'), look(1_507, 40_000, 'd')),
            ],
        };
        let text = shown.text();
        for part in [
            "shards    2, before 1",
            "moved     1,500 wallets",
            "before    900.00 at heights 6 of chain 0, 2 of chain 3",
            "money     900.00, 10.00 of it under way, at heights 7 of chain 0, 5 of chain 3",
            "2.3 s",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(
            text.contains(&"d".repeat(ROOT_DIGITS)) && !text.contains(&"d".repeat(ROOT_DIGITS + 1)),
            "{text}"
        );
        let header = text.lines().next().unwrap();
        let columns: std::collections::BTreeSet<&str> = header.split_whitespace().collect();
        assert_eq!(columns.len(), header.split_whitespace().count(), "no heading stands twice: {header}");
        let json = serde_json::to_value(&shown).unwrap();
        assert_eq!(
            (&json["chains"][1]["parent"], &json["money"]["under_way_fen"]),
            (&0.into(), &1_000.into())
        );
    }
}
