//! What is to happen in a bottle. A plan and nothing else decides a run.

use ledger::records::{ChainParams, FeeParams};
use ledger::values::Currency;
use storage::Survival;

use crate::adversaries::Adversary;

/// A whole run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Decides every choice that the plan leaves open.
    pub seed: u64,
    /// Banks, each with one node: a machine, which hosts the chains that the plan gives it; at least four.
    pub nodes: u16,
    /// The chains, by id; chain 0 is the first.
    pub chains: Vec<ChainPlan>,
    /// Chains that operators add, each to take half of the wallets of its parent; their ids follow on those of [`Self::chains`].
    pub children: Vec<ChildPlan>,
    /// Virtual time under load. After it the nodes have 20 s to agree on what became final.
    pub duration_ms: u64,
    /// What weight costs, on every chain.
    pub fees: FeeParams,
    /// What clients do.
    pub load: Load,
    /// What links do.
    pub links: LinkModel,
    /// What goes wrong, by virtual time since the start.
    pub faults: Vec<(u64, Fault)>,
    /// How chain 0's validators change, by virtual time since the start at which it is proposed; ascending.
    pub changes: Vec<(u64, SetChange)>,
    /// What a loss of power does to disks.
    pub power_cut: PowerCut,
    /// What is broken on purpose. Empty for a run that must stay green.
    pub plants: Vec<Plant>,
    /// The snapshots that nodes keep; without them wiped nodes replay.
    pub snapshots: Option<SnapshotPlan>,
}

/// States of certified heights that nodes keep, and by which wiped ones join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPlan {
    /// Block time between two.
    pub every_ms: u64,
    /// How far ahead of an empty disk one must be.
    pub behind_blocks: u64,
}

/// A chain of the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainPlan {
    /// Its currency.
    pub currency: Currency,
    /// Its shard among those of the currency, from 0.
    pub shard: u16,
    /// The machines that host it, each with a validator; at least four.
    pub hosts: Vec<u16>,
    /// The machines that host it without one, until a change lets them in.
    pub followers: Vec<u16>,
}

/// A chain that operators add. Its hosts have the keys for it from the start, and begin it when they start again after it was added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildPlan {
    /// The chain whose wallets it takes half of.
    pub parent: u32,
    /// The machines that host it, each with a validator; at least four.
    pub hosts: Vec<u16>,
}

/// A change of validators. Machines have the keys for it from the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetChange {
    /// A node's consensus key is replaced.
    Rotate {
        /// Which node.
        node: u16,
    },
    /// A follower gets a validator.
    Join {
        /// Which node.
        node: u16,
    },
    /// All children are added, by one proposal.
    AddChains,
    /// The shards of the currency of chain 0 double. It is proposed again until every child runs.
    Reshard,
}

/// What clients do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Payments offered each second of virtual time; 0 for none.
    pub payments_per_second: u32,
    /// Wallets that pay each other.
    pub wallets: u16,
    /// Payments of 1,000 to a payee on another chain who does not exist, or who holds as much as its tier allows: they come back.
    pub returned_per_mille: u16,
    /// What each payment bids, in fen.
    pub fee_max: u64,
    /// More payments towards the end.
    pub surge: Option<Surge>,
}

/// More payments, from a moment on until the load ends.
#[derive(Debug, Clone, Copy)]
pub struct Surge {
    /// From when on, in virtual time since the start.
    pub from_ms: u64,
    /// Payments offered each second, instead of the load's.
    pub payments_per_second: u32,
}

impl Load {
    /// Payments offered each second at a moment of the load.
    pub(crate) fn rate_at(&self, now_ms: u64) -> u32 {
        let surge = self.surge.filter(|surge| now_ms >= surge.from_ms);
        surge.map_or(self.payments_per_second, |surge| surge.payments_per_second)
    }
}

/// How links behave.
#[derive(Debug, Clone, Copy)]
pub struct LinkModel {
    /// Time a frame takes.
    pub delay_ms: u64,
    /// At most this much more, drawn for each frame: frames overtake each other.
    pub jitter_ms: u64,
    /// Frames of 1,000 that never arrive.
    pub loss_per_mille: u16,
}

/// What a loss of power does to writes that were not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PowerCut {
    /// A prefix of them survives, drawn for each disk; journal writes may be torn.
    Drawn,
    /// None survives.
    LosesAll,
}

impl PowerCut {
    pub(crate) const fn survival(self) -> Survival {
        match self {
            Self::Drawn => Survival::Drawn,
            Self::LosesAll => Survival::Nothing,
        }
    }
}

/// Something that goes wrong, or is mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// A node loses power: its process ends, its disk loses unsynced writes.
    Crash {
        /// Which.
        node: u16,
    },
    /// From now on: a node loses power as soon as one of its chains has sent another receipt, which is on its disk then.
    CrashAfterSending {
        /// Which.
        node: u16,
    },
    /// From now on, a node does what the adversary does.
    Turn {
        /// Which.
        node: u16,
        /// Into what.
        into: Adversary,
    },
    /// From now on: all running nodes lose power as soon as wallets are on their way to a child, once.
    PowerCutWhileMoving,
    /// A node gets new, empty disks in the place of its own, journal included. Only where the node does not run; meant for nodes without a
    /// vote, whose return needs no proof of passage.
    Wipe {
        /// Whose.
        node: u16,
    },
    /// A crashed node starts again.
    Restart {
        /// Which.
        node: u16,
    },
    /// All running nodes lose power at the same moment, disks and consensus journals, and start again at once.
    CrashAll,
    /// Nodes of one side no longer hear those of the other.
    Partition {
        /// One side; the others are the other.
        side: Vec<u16>,
    },
    /// Nodes of the side are not heard by the others, and hear them.
    Mute {
        /// Whom the others do not hear.
        side: Vec<u16>,
    },
    /// From now on, some frames come up to so much later than others.
    Reorder {
        /// At most this late.
        up_to_ms: u64,
    },
    /// From now on, some frames arrive twice.
    Duplicate {
        /// Of 1,000.
        per_mille: u16,
    },
    /// From now on, a node's line carries so much outwards: large frames take long, and what waits too long is lost.
    Narrow {
        /// Whose.
        node: u16,
        /// In KiB.
        kib_per_second: u32,
    },
    /// A process stops where it is. Its peers go on.
    Stop {
        /// Whose.
        node: u16,
    },
    /// A stopped process goes on.
    GoOn {
        /// Whose.
        node: u16,
    },
    /// A node's wall clock jumps, and stays so far off.
    Clock {
        /// Whose.
        node: u16,
        /// Lead over the true time, since whatever it was before; 0 sets it right.
        ahead_ms: i64,
    },
    /// From now on, a node's syncs take so much longer.
    DiskSlows {
        /// Whose.
        node: u16,
        /// Added to each sync; 0 makes it as fast as before.
        sync_ms: u64,
    },
    /// Others fill a node's disk, and leave it so much.
    DiskFills {
        /// Whose.
        node: u16,
        /// In KiB; [`RESERVE_KIB`] and more are enough to vote.
        left_kib: u64,
    },
    /// A node's disk has room again.
    DiskHasRoom {
        /// Whose.
        node: u16,
    },
    /// A bit changes on the disk of one of a node's chains. Only where the node does not run.
    BitFlip {
        /// Whose.
        node: u16,
        /// Draws the chain, the row and the bit.
        number: u64,
    },
    /// What a node's disk lost to flipped bits comes back from a mirror. Only where the node does not run.
    Repair {
        /// Whose.
        node: u16,
    },
    /// Every link works again, as the plan's link model says, and every adversary does as it should again, except that twins live on.
    Heal,
    /// From now on, links lose this many frames of 1,000.
    Loss {
        /// Instead of the plan's.
        per_mille: u16,
    },
}

/// Something broken on purpose: a run with it must turn red, unless the nodes are made to bear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    /// A node is given another block than the final one to execute.
    Fork {
        /// Which node.
        node: u16,
        /// At which height.
        height: u64,
    },
    /// Every disk acknowledges syncs and makes nothing durable, from the start.
    LostWrites,
    /// A node credits a payee twice, in the first block with a payment at or above this height.
    DoubleCredit {
        /// Which node.
        node: u16,
        /// From which height on.
        height: u64,
    },
    /// A node's memory fails while it executes: the first payment of a block becomes one fen larger. It takes its heights
    /// back once (PROTOCOL rule 14); the plan must start it again.
    WrongExecution {
        /// Which node.
        node: u16,
        /// In the first block with a payment at or above this height.
        height: u64,
        /// How often, each time the node executes such a block.
        times: u8,
    },
    /// All nodes execute the last receipt of a bundle twice.
    ReceiptTwice {
        /// On which chain.
        chain: u32,
        /// In the first block with a bundle at or above this height.
        height: u64,
    },
    /// All nodes execute a receipt that moves a wallet twice.
    MoveTwice {
        /// On which chain.
        chain: u32,
    },
    /// All nodes execute a credit that was sent on twice.
    SentOnTwice {
        /// On which chain.
        chain: u32,
    },
    /// All nodes leave out the first receipt of a bundle.
    ReceiptLost {
        /// On which chain.
        chain: u32,
        /// In the first block with a bundle of at least two receipts at or above this height.
        height: u64,
    },
}

impl Plan {
    /// Four nodes, one chain, 5 ms links, 40 payments a second among 24 wallets, nothing goes wrong.
    #[must_use]
    pub fn calm(seed: u64, duration_ms: u64) -> Self {
        Self {
            seed,
            nodes: 4,
            chains: vec![ChainPlan {
                currency: CURRENCY,
                shard: 0,
                hosts: (0..4).collect(),
                followers: Vec::new(),
            }],
            children: Vec::new(),
            duration_ms,
            fees: ChainParams::default().fees,
            load: Load {
                payments_per_second: 40,
                wallets: 24,
                returned_per_mille: 0,
                fee_max: 0,
                surge: None,
            },
            links: LinkModel { delay_ms: 5, jitter_ms: 3, loss_per_mille: 0 },
            faults: Vec::new(),
            changes: Vec::new(),
            power_cut: PowerCut::Drawn,
            plants: Vec::new(),
            snapshots: None,
        }
    }

    /// The same with two shards, hosted by these machines, and a tenth of all payments to payees that cannot be credited.
    #[must_use]
    pub fn sharded(mut self, hosts: [Vec<u16>; 2]) -> Self {
        let highest = hosts.iter().flatten().copied().max().unwrap_or(0);
        self.nodes = self.nodes.max(highest.saturating_add(1));
        let shards = (0..).zip(hosts);
        self.chains = shards
            .map(|(shard, hosts)| ChainPlan { currency: CURRENCY, shard, hosts, followers: Vec::new() })
            .collect();
        self.load.returned_per_mille = 100;
        self
    }

    /// The same with a child for each chain, hosted by these machines, and the doubling of the shards. All machines that host children
    /// start again one after another in between: then they begin them.
    #[must_use]
    pub fn resharded(mut self, hosts: &[u16]) -> Self {
        let highest = hosts.iter().copied().max().unwrap_or(0);
        self.nodes = self.nodes.max(highest.saturating_add(1));
        let parents = (0..).take(self.chains.len());
        self.children = parents.map(|parent| ChildPlan { parent, hosts: hosts.to_vec() }).collect();
        self.changes.extend([(CHILDREN_ADDED_MS, SetChange::AddChains), (RESHARD_MS, SetChange::Reshard)]);
        let restarts = hosts.iter().zip(0_u64..).flat_map(|(node, place)| {
            let at_ms = CHILDREN_BEGIN_MS + 700 * place;
            [(at_ms, Fault::Crash { node: *node }), (at_ms + 200, Fault::Restart { node: *node })]
        });
        self.with(restarts)
    }

    /// The same with faults.
    #[must_use]
    pub fn with(mut self, faults: impl IntoIterator<Item = (u64, Fault)>) -> Self {
        self.faults.extend(faults);
        self.faults.sort_by_key(|(at_ms, _)| *at_ms);
        self
    }

    /// The same with a fifth machine that follows chain 0 without a validator, and with these changes.
    #[must_use]
    pub fn governed(mut self, changes: impl IntoIterator<Item = (u64, SetChange)>) -> Self {
        self.nodes = 5;
        if let Some(root) = self.chains.first_mut() {
            root.followers = vec![4];
        }
        self.changes.extend(changes);
        self
    }

    /// The same with something broken on purpose.
    #[must_use]
    pub fn planted(mut self, plant: Plant) -> Self {
        self.plants.push(plant);
        self
    }
}

/// What a node keeps free for what must be written in any case; with less it does not vote, and below half of it writes nothing.
pub const RESERVE_KIB: u64 = 2_048;
/// When children are proposed: wallets have their money by then.
pub const CHILDREN_ADDED_MS: u64 = 3_000;
/// When the first host of the children starts again.
pub const CHILDREN_BEGIN_MS: u64 = 5_500;
/// When the doubling of the shards is proposed.
pub const RESHARD_MS: u64 = 10_500;
/// Of every chain, unless the plan says otherwise.
const CURRENCY: Currency = Currency(*b"CNY");
