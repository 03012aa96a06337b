//! Who wants to pay when, and what they bid: seven families of demand.
//!
//! Demand is counted in targets: 1.0 is as much weight per block as the rule aims at. A bidder leaves when its patience is over. Of
//! the ordinary bidders a third bids as our wallets do (a ceiling far above what is charged), the others bid what the
//! payment is worth to them, which differs by a factor of 100,000: so demand falls as the base fee rises, by about a sixteenth
//! of all for each doubling.

use crate::queue::Bid;
use crate::random::Random;

/// Kinds of demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// A steady level, below or above the target.
    Flat,
    /// The level swings slowly.
    Wave,
    /// Sudden bursts of 3 to 10 times the target.
    Spike,
    /// A long ramp to a high plateau, and down.
    Payday,
    /// Bursts of more than a block holds, with tips that outbid each other.
    Auction,
    /// Somebody fills whole blocks with a ceiling and a tip, until it gets too dear.
    Attack,
    /// Pieces of all the others.
    Mixed,
}

/// All families, in the order of the table.
pub(crate) const FAMILIES: [Family; 7] = [
    Family::Flat,
    Family::Wave,
    Family::Spike,
    Family::Payday,
    Family::Auction,
    Family::Attack,
    Family::Mixed,
];

impl Family {
    /// Its name in the table.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Flat => "flat",
            Self::Wave => "wave",
            Self::Spike => "spike",
            Self::Payday => "payday",
            Self::Auction => "auction",
            Self::Attack => "attack",
            Self::Mixed => "mixed",
        }
    }
}

/// What one bidder submits: 1 to about 30 payments, which bid alike.
const BID_WEIGHT: (u64, u64) = (2_000, 24_000);
const BID_WEIGHT_MEAN: f64 = 13_000.0;
/// What a payment is worth to bidders, millionths of a fen per weight.
const WORTH: (f64, f64) = (200.0, 20_000_000.0);

/// The demand of one run.
#[derive(Debug, Clone)]
pub(crate) struct Demand {
    random: Random,
    family: Family,
    /// Of a mixed run: what it is now, and until which block.
    piece: (Family, u32),
    piece_begins: u32,
    target: f64,
    weight_max: f64,
    rate_max: u64,
    level: f64,
    period: f64,
    /// Slow noise around the level, as a logarithm.
    drift: f64,
    burst: Option<Burst>,
}

/// A spike, an auction or an attack under way.
#[derive(Debug, Clone, Copy)]
struct Burst {
    begins: u32,
    ends: u32,
    height: f64,
    is_decaying: bool,
    fee_rate: u64,
    tip_rate: u64,
}

impl Demand {
    /// The demand of a family and a seed on a chain with this target, block and highest base fee.
    pub(crate) fn new(family: Family, seed: u64, target: u64, weight_max: u64, rate_max: u64) -> Self {
        let mut demand = Self {
            random: Random::new(seed, 1 + family as u64),
            family,
            piece: (family, u32::MAX),
            piece_begins: 0,
            target: target as f64,
            weight_max: weight_max as f64,
            rate_max,
            level: 0.0,
            period: 0.0,
            drift: 0.0,
            burst: None,
        };
        demand.begin_piece(0);
        demand
    }

    /// From here on with other chance.
    pub(crate) fn fork(&mut self, chance: u64) {
        self.random = Random::new(chance, 201);
    }

    fn begin_piece(&mut self, block: u32) {
        if self.family == Family::Mixed {
            let kind = self.random.one(&FAMILIES[..6]);
            self.piece = (kind, block + self.random.whole(200, 500) as u32);
        }
        self.piece_begins = block;
        self.burst = None;
        self.level = match self.piece.0 {
            Family::Flat => self.random.between(0.6, 1.8),
            Family::Wave => self.random.between(0.9, 1.3),
            Family::Payday => self.random.between(2.0, 4.0),
            _ => self.random.between(0.5, 0.9),
        };
        self.period = self.random.between(300.0, 1_500.0);
    }

    /// What arrives before a block, in the order of arrival.
    pub(crate) fn arrivals(&mut self, block: u32, base_fee: u64) -> Vec<Bid> {
        if block >= self.piece.1 {
            self.begin_piece(block);
        }
        let kind = self.piece.0;
        self.drift = 0.9 * self.drift + self.random.between(-0.12, 0.12);
        let noise = self.drift.exp() * self.random.between(0.6, 1.4);
        let age = f64::from(block - self.piece_begins);
        let mut level = match kind {
            Family::Wave => self.level * (1.0 + 0.8 * (age / self.period * std::f64::consts::TAU).sin()),
            Family::Payday => {
                // Up over half a period, a plateau of one, down over half.
                let phase = age / self.period % 2.0;
                let height = (phase * 2.0).min((2.0 - phase) * 2.0).clamp(0.0, 1.0);
                0.5 + (self.level - 0.5) * height
            }
            _ => self.level,
        };
        let burst = self.burst_at(kind, block);
        let mut arrivals = Vec::new();
        if let Some(burst) = burst {
            let share = f64::from(block - burst.begins) / f64::from(burst.ends - burst.begins);
            let height = if burst.is_decaying { burst.height * (1.0 - share) } else { burst.height };
            match kind {
                Family::Attack => self.attack(block, base_fee, burst, &mut arrivals),
                Family::Auction => self.auction(block, base_fee, height, share, &mut arrivals),
                _ => level += height,
            }
        }
        let ordinary = level * noise * self.target;
        self.fill(ordinary, &mut arrivals, |demand| demand.ordinary(block, base_fee, kind));
        // Attackers and bidders arrive among each other.
        for place in (1..arrivals.len()).rev() {
            arrivals.swap(place, self.random.whole(0, place as u64) as usize);
        }
        arrivals
    }

    fn burst_at(&mut self, kind: Family, block: u32) -> Option<Burst> {
        if self.burst.is_some_and(|burst| burst.ends <= block) {
            self.burst = None;
        }
        if self.burst.is_none() {
            let (chance, length, height) = match kind {
                Family::Spike => (1.0 / 300.0, (10, 150), (3.0, 10.0)),
                Family::Auction => (1.0 / 300.0, (15, 80), (1.0, 2.5)),
                Family::Attack => (1.0 / 250.0, (50, 400), (1.0, 1.0)),
                _ => return None,
            };
            if self.random.happens(chance) {
                let length = self.random.whole(length.0, length.1) as u32;
                self.burst = Some(Burst {
                    begins: block,
                    ends: block + length,
                    height: self.random.between(height.0, height.1),
                    is_decaying: kind == Family::Spike && self.random.happens(0.5),
                    fee_rate: self.random.magnitude(5_000.0, 5_000_000.0) as u64,
                    tip_rate: self.random.magnitude(10.0, 20_000.0) as u64,
                });
            }
        }
        self.burst
    }

    /// Bidders until they weigh this much together.
    fn fill(&mut self, weight: f64, arrivals: &mut Vec<Bid>, mut bidder: impl FnMut(&mut Self) -> Bid) {
        let count = (weight / BID_WEIGHT_MEAN + self.random.unit()) as usize;
        for _ in 0..count {
            arrivals.push(bidder(self));
        }
    }

    fn ordinary(&mut self, block: u32, base_fee: u64, kind: Family) -> Bid {
        let is_wallet_like = self.random.happens(0.33);
        let worth =
            if is_wallet_like { self.rate_max } else { self.random.magnitude(WORTH.0, WORTH.1) as u64 };
        let hurried = if kind == Family::Payday { 0.3 } else { 0.15 };
        let tip = if self.random.happens(hurried) { self.random.magnitude(50.0, 20_000.0) as u64 } else { 0 };
        let patience = self.random.magnitude(20.0, 1_200.0) as u32;
        self.bid(block, base_fee, tip.min(worth / 4), worth, patience)
    }

    /// Bidders in an auction want the next blocks, and outbid what was bid before.
    fn auction(&mut self, block: u32, base_fee: u64, height: f64, share: f64, arrivals: &mut Vec<Bid>) {
        let weight = height * self.weight_max;
        let eager = 1.0 + 9.0 * share;
        self.fill(weight, arrivals, |demand| {
            let worth = demand.random.magnitude(20_000.0, WORTH.1) as u64;
            let tip = (demand.random.magnitude(200.0, 50_000.0) * eager) as u64;
            let patience = demand.random.whole(5, 60) as u32;
            demand.bid(block, base_fee, tip.min(worth / 2), worth, patience)
        });
    }

    fn attack(&mut self, block: u32, base_fee: u64, burst: Burst, arrivals: &mut Vec<Bid>) {
        if base_fee <= burst.fee_rate {
            let weight = self.weight_max;
            self.fill(weight, arrivals, |demand| {
                demand.bid(block, base_fee, burst.tip_rate, burst.fee_rate + burst.tip_rate, 3)
            });
        }
    }

    fn bid(&mut self, block: u32, base_fee: u64, tip_rate: u64, fee_rate: u64, patience: u32) -> Bid {
        Bid {
            tip_rate,
            fee_rate,
            weight: self.random.whole(BID_WEIGHT.0, BID_WEIGHT.1),
            entered: block,
            leaves: block + patience.max(1),
            offered_rate: (base_fee + tip_rate).min(fee_rate),
        }
    }
}
