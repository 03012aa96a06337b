//! Both trees and the outcomes root against naive recomputation, and their proofs against tampering.

use std::collections::BTreeMap;

use ledger::proofs::{outcome_path, outcomes_root, verify_outcome};
use ledger::records::{Outcome, Record};
use ledger::state::id_tree::{IdAnswer, IdLeaf, IdTree};
use ledger::state::summing_tree::{SumNode, SumOverflow, SummingTree, depth, verify_path, verify_subtree};
use ledger::values::{Amount, Hash, Hasher, RecordId, Sequential, Slot, TransactionHash, TransactionId};
use proptest::prelude::*;

fn leaf(slot: u64, fen: u64) -> SumNode {
    SumNode::leaf(Slot(slot), &Record::Suspense { balance: Amount::from_fen(fen) })
}

/// The root by its definition: pad to a power of two with empty leaves and halve.
fn naive_root(values: &[u64]) -> SumNode {
    let empty = SumNode { sum: 0, hash: Hasher::new("jiaozi/tree").bytes(&[2]).finish() };
    let mut nodes: Vec<SumNode> = values.iter().zip(0..).map(|(fen, slot)| leaf(slot, *fen)).collect();
    nodes.resize(values.len().max(1).next_power_of_two(), empty);
    for level in 1_u8.. {
        if nodes.len() == 1 {
            break;
        }
        let parent = |pair: &[SumNode]| {
            let [left, right] = [pair[0], pair[1]];
            let hash = Hasher::new("jiaozi/tree")
                .bytes(&[1, level])
                .bytes(&left.sum.to_le_bytes())
                .bytes(&left.hash.0)
                .bytes(&right.sum.to_le_bytes())
                .bytes(&right.hash.0)
                .finish();
            SumNode { sum: left.sum + right.sum, hash }
        };
        nodes = nodes.chunks(2).map(parent).collect();
    }
    nodes[0]
}

fn tree_of(values: &[u64]) -> SummingTree {
    let leaves = values.iter().zip(0..).map(|(fen, slot)| leaf(slot, *fen)).collect();
    SummingTree::from_leaves(leaves, &Sequential).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any sequence of updates and growth ends at the naive root; reverting the last leads back.
    #[test]
    fn the_summing_tree_is_the_naive_tree(rounds in prop::collection::vec((0_u64..9, prop::collection::btree_map(0_u64..70, 0_u64..1_000, 0..12)), 1..8)) {
        let mut tree = SummingTree::new();
        let mut values: Vec<u64> = Vec::new();
        for (grow, changes) in rounds {
            let (before, old_root) = (values.clone(), tree.root());
            let mut update: BTreeMap<u64, u64> = changes.into_iter().filter(|(slot, _)| *slot < values.len() as u64).collect();
            update.extend((0..grow).map(|n| (before.len() as u64 + n, n * 3)));
            let old: Vec<_> = update.keys().filter_map(|slot| Some((Slot(*slot), leaf(*slot, *before.get(*slot as usize)?)))).collect();
            for (slot, fen) in &update {
                if *slot < values.len() as u64 { values[*slot as usize] = *fen } else { values.push(*fen) }
            }
            let leaves: Vec<_> = update.iter().map(|(slot, fen)| (Slot(*slot), leaf(*slot, *fen))).collect();
            tree.update(&leaves, &Sequential).unwrap();
            prop_assert_eq!(tree.root(), naive_root(&values));
            prop_assert_eq!(&tree, &tree_of(&values));
            let mut back = tree.clone();
            back.revert(before.len() as u64, &old, &Sequential).unwrap();
            prop_assert_eq!(back.root(), old_root);
            prop_assert_eq!(&back, &tree_of(&before));
        }
    }

    /// A path proves its leaf and nothing else.
    #[test]
    fn a_sum_path_proves_its_leaf_only(values in prop::collection::vec(0_u64..1_000, 1..40), slot in 0_usize..40, flip in any::<[u8; 3]>()) {
        let slot = slot % values.len();
        let tree = tree_of(&values);
        let (root, records) = (tree.root(), values.len() as u64);
        let path = tree.path(Slot(slot as u64)).unwrap();
        let own = leaf(slot as u64, values[slot]);
        let holds = |slot: usize, leaf, path: &[SumNode]| verify_path(&root, records, Slot(slot as u64), leaf, path);
        prop_assert!(holds(slot, own, &path));
        prop_assert!(!holds(slot, leaf(slot as u64, values[slot] + 1), &path));
        prop_assert!(!holds(slot ^ 1, own, &path));
        prop_assert!(!holds(slot, own, &[path.as_slice(), &path].concat()) || path.is_empty());
        if !path.is_empty() {
            prop_assert!(!holds(slot, own, &path[1..]));
            let step = usize::from(flip[0]) % path.len();
            let mut wrong = path.clone();
            wrong[step].sum += 1;
            prop_assert!(!holds(slot, own, &wrong), "every addition is checked");
            let mut wrong = path.clone();
            wrong[step].hash.0[usize::from(flip[1]) % 32] ^= 1 << (flip[2] % 8);
            prop_assert!(!holds(slot, own, &wrong));
        }
        let higher = SumNode { sum: root.sum + 1, ..root };
        prop_assert!(!verify_path(&higher, records, Slot(slot as u64), own, &path));
        prop_assert!(tree.path(Slot(records)).is_none());
    }

    /// The id tree's root follows from the set alone; every id leads to its own leaf, every other to a proof
    /// of absence.
    #[test]
    fn the_id_tree_has_one_shape(ids in prop::collection::btree_set(prop::array::uniform2(any::<u8>()), 0..60), shuffle in any::<u64>(), absent in prop::array::uniform2(any::<u8>())) {
        // Few distinct bytes, so that ids share long prefixes.
        let wide = |short: &[u8; 2]| { let mut id = [0_u8; 32]; id[7] = short[0] & 0x83; id[30] = short[0]; id[31] = short[1]; RecordId(id) };
        let ids: Vec<RecordId> = { let mut ids: Vec<_> = ids.iter().map(wide).collect(); ids.dedup(); ids };
        let leaves: Vec<IdLeaf> = ids.iter().zip(0..).map(|(id, slot)| IdLeaf { id: *id, slot: Slot(slot) }).collect();
        let bulk = IdTree::from_leaves(leaves.clone(), &Sequential).unwrap();
        let mut shuffled = leaves.clone();
        shuffled.sort_by_key(|leaf| Hasher::new("test").number(shuffle).bytes(&leaf.id.0).finish());
        let mut grown = IdTree::default();
        for (count, leaf) in shuffled.iter().enumerate() {
            prop_assert!(grown.insert(leaf.id, leaf.slot));
            prop_assert!(!grown.insert(leaf.id, Slot(99)), "an id comes once");
            if count % 3 == 0 { grown.rehash(); }
        }
        grown.rehash();
        prop_assert_eq!(grown.root(), bulk.root());
        prop_assert_eq!(bulk.root(), naive_ids(&leaves));
        for leaf in &leaves {
            prop_assert_eq!(grown.slot(&leaf.id), Some(leaf.slot));
            prop_assert_eq!(bulk.path(&leaf.id).answer(&bulk.root(), &leaf.id), Some(IdAnswer::Present(leaf.slot)));
        }
        let absent = wide(&absent);
        if !ids.contains(&absent) {
            prop_assert_eq!(grown.slot(&absent), None);
            prop_assert_eq!(grown.path(&absent).answer(&grown.root(), &absent), Some(IdAnswer::Absent));
        }
        // Taking the last half out again leads to the tree of the first half.
        let half = shuffled.len() / 2;
        for leaf in shuffled[half..].iter().rev() {
            prop_assert!(grown.remove_last(&leaf.id));
        }
        grown.rehash();
        prop_assert_eq!(grown.root(), naive_ids(&shuffled[..half]));
        prop_assert_eq!(grown.len(), half);
        prop_assert!(!grown.remove_last(&RecordId([0xee; 32])));
    }
}

/// The id tree's root by its definition, top down over the sorted ids.
fn naive_ids(leaves: &[IdLeaf]) -> Hash {
    let bit_of = |id: &RecordId, bit: u16| id.0[usize::from(bit / 8)] >> (7 - bit % 8) & 1;
    match leaves {
        [] => Hasher::new("jiaozi/ids").bytes(&[2]).finish(),
        [leaf] => {
            Hasher::new("jiaozi/ids").bytes(&[0]).bytes(&leaf.id.0).bytes(&leaf.slot.0.to_le_bytes()).finish()
        }
        _ => {
            let is_split =
                |bit: &u16| leaves.iter().any(|leaf| bit_of(&leaf.id, *bit) != bit_of(&leaves[0].id, *bit));
            let bit = (0..256).find(is_split).unwrap();
            let (left, right): (Vec<_>, Vec<_>) = leaves.iter().partition(|leaf| bit_of(&leaf.id, bit) == 0);
            let (left, right) = (naive_ids(&left), naive_ids(&right));
            Hasher::new("jiaozi/ids")
                .bytes(&[1])
                .bytes(&bit.to_le_bytes())
                .bytes(&left.0)
                .bytes(&right.0)
                .finish()
        }
    }
}

#[test]
fn an_id_path_that_was_tampered_with_proves_nothing() {
    let id = |byte: u8| RecordId([byte; 32]);
    let leaves = (0..40).map(|n| IdLeaf { id: id(n), slot: Slot(u64::from(n)) }).collect();
    let tree = IdTree::from_leaves(leaves, &Sequential).unwrap();
    let (root, present, absent) = (tree.root(), id(17), id(200));
    for (wanted, answer) in [(present, IdAnswer::Present(Slot(17))), (absent, IdAnswer::Absent)] {
        let good = tree.path(&wanted);
        assert_eq!(good.answer(&root, &wanted), Some(answer));
        let mut slot = good.clone();
        slot.leaf.as_mut().unwrap().slot = Slot(5);
        let mut other = good.clone();
        other.leaf.as_mut().unwrap().id = id(99);
        let mut bit = good.clone();
        bit.steps[0].bit ^= 1;
        let mut order = good.clone();
        order.steps.reverse();
        let mut sibling = good.clone();
        sibling.steps[1].sibling.0[0] ^= 1;
        let mut short = good.clone();
        short.steps.pop();
        let mut none = good.clone();
        none.leaf = None;
        let mut far = good.clone();
        far.steps[0].bit = 256;
        for wrong in [slot, other, bit, order, sibling, short, none, far] {
            assert_eq!(wrong.answer(&root, &wanted), None, "{wrong:?}");
        }
    }
    // Where another id leads proves nothing about an id that exists: it must leave its own bits.
    for other in 0..40 {
        if id(other) != present {
            assert_eq!(tree.path(&id(other)).answer(&root, &present), None);
        }
    }
    let twice = vec![IdLeaf { id: id(1), slot: Slot(0) }, IdLeaf { id: id(1), slot: Slot(1) }];
    assert!(IdTree::from_leaves(twice, &Sequential).is_none());
}

#[test]
fn sums_that_do_not_fit_are_refused_and_change_nothing() {
    let mut tree = tree_of(&[u64::MAX - 5, 3]);
    let before = tree.clone();
    let update = [(Slot(1), leaf(1, 4)), (Slot(2), leaf(2, 2))];
    assert_eq!(tree.update(&update, &Sequential), Err(SumOverflow));
    assert_eq!(tree, before);
    assert!(tree.update(&[(Slot(1), leaf(1, 5))], &Sequential).is_ok());
    assert_eq!(tree.root().sum, u64::MAX);
    let too_much = vec![leaf(0, u64::MAX), leaf(1, 1)];
    assert_eq!(SummingTree::from_leaves(too_much, &Sequential), Err(SumOverflow));
}

#[test]
fn depth_is_the_least_that_holds_all() {
    let rows =
        [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (1 << 20, 20), ((1 << 20) + 1, 21), (u64::MAX, 40)];
    for (records, expected) in rows {
        assert_eq!(depth(records), expected, "{records}");
    }
}

fn outcome(number: u32) -> Outcome {
    Outcome {
        id: TransactionId([number as u8; 32]),
        transaction: TransactionHash([7; 32]),
        index: number,
        code: 0,
        fee: Amount::ZERO,
    }
}

#[test]
fn an_outcome_path_proves_its_outcome_only() {
    for count in 0..20_u32 {
        let outcomes: Vec<Outcome> = (0..count).map(outcome).collect();
        let root = outcomes_root(&outcomes, &Sequential);
        for position in 0..count {
            let path = outcome_path(&outcomes, u64::from(position), &Sequential).unwrap();
            let holds = |position: u32, outcome: &Outcome, path: &[Hash]| {
                verify_outcome(root, u64::from(count), u64::from(position), outcome, path)
            };
            assert!(holds(position, &outcome(position), &path));
            assert!(!holds(position, &outcome(position + 1), &path));
            assert!(!holds(position ^ 1, &outcome(position), &path));
            assert!(!holds(position + count, &outcome(position), &path));
            assert!(!verify_outcome(
                root,
                u64::from(count) + 1,
                u64::from(position),
                &outcome(position),
                &path
            ));
            if let Some((_, short)) = path.split_last() {
                assert!(!holds(position, &outcome(position), short));
            }
        }
        assert!(outcome_path(&outcomes, u64::from(count), &Sequential).is_none());
    }
}

/// A list and the same list with its last outcome doubled have different roots, as have all prefixes.
#[test]
fn no_two_lists_of_outcomes_share_a_root() {
    let outcomes: Vec<Outcome> = (0..17).map(outcome).collect();
    let mut roots: Vec<_> = (0..=17).map(|count| outcomes_root(&outcomes[..count], &Sequential)).collect();
    for count in 1..17 {
        let doubled = [&outcomes[..count], &outcomes[count - 1..count]].concat();
        roots.push(outcomes_root(&doubled, &Sequential));
    }
    let all = roots.len();
    roots.sort_unstable();
    roots.dedup();
    assert_eq!(roots.len(), all);
}

/// A whole range of slots is proved by the upper part of the tree, at any level of any tree; one leaf more, less or another is not.
#[test]
fn the_crown_of_the_summing_tree_proves_ranges() {
    for records in 1..=40_u64 {
        let values: Vec<u64> = (0..records).map(|slot| slot * 7 + 1).collect();
        let tree = tree_of(&values);
        let root = tree.root();
        for level in 0..=7_usize {
            let (crown, width) = (tree.crown(level), 1_u64 << level);
            for position in 0..records.div_ceil(width) {
                let range = position * width..((position + 1) * width).min(records);
                let leaves: Vec<SumNode> = range.map(|slot| leaf(slot, values[slot as usize])).collect();
                let path = crown.path(position).unwrap();
                let is_under = |leaves: &[SumNode], at, path: &[SumNode]| {
                    verify_subtree(&root, records, (level, at), leaves.to_vec(), path)
                };
                assert!(is_under(&leaves, position, &path), "{records} {level} {position}");
                let mut forged = leaves.clone();
                forged[0].sum += 1;
                assert!(!is_under(&forged, position, &path));
                assert!(!is_under(&leaves[1..], position, &path));
                assert!(!is_under(&[leaves.as_slice(), &[leaf(99, 0)]].concat(), position, &path));
                assert!(!is_under(&leaves, position + 1, &path));
                assert!(!is_under(&leaves, position, &[path.as_slice(), &[root]].concat()));
                if let Some(shorter) = path.len().checked_sub(1) {
                    assert!(!is_under(&leaves, position, &path[..shorter]));
                }
            }
            assert_eq!(crown.path(records.div_ceil(width)), None);
        }
    }
}
