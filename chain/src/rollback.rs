//! A node whose result differs from a certified one: it takes its heights back and executes them once more (PROTOCOL
//! rule 14).
//!
//! ```text
//! Report::Diverged ─► judge ─┬─► RollBack: begin, keep the findings, start anew ─► roll_back ─► Executor::open, as ever
//!                            └─► Halt: a person must look                  certified past it ─► pass
//! ```
//!
//! - That it diverged is in a row of its own, synced before anything else is done about it; whatever happens then, the
//!   next start knows, and can still gather the findings: nothing is taken back before.
//! - The heights above the last certified one are taken back in one synced write: records and slots as the undo records
//!   have them; results, outcomes, ids and history go. Their order is final and stays: blocks and batches are proposals
//!   again, which recovery finds, and certificates are kept.
//! - Nothing is executed on damaged ground: the executor compares all records with the state root when it opens.
//! - One more execution, not two: a divergence before the first one is passed halts. So does the one after
//!   [`ROLLBACKS_MAX`]: a machine that computes wrongly again and again is not to be trusted.

use std::fmt::Write as _;
use std::ops::Bound;

use ledger::records::registry::ROOT_CHAIN;
use ledger::records::{Claim, Receipt, Record};
use ledger::state::{StateHead, Undo};
use ledger::values::{BlockDigest, BundleDigest, Canonical, CodecError, Height, Slot};
use storage::{Durability, Page, Reader, Store, Table, WriteSet, key};
use wincode::{SchemaRead, SchemaWrite};

use crate::archive::Archive;
use crate::origins::added;
use crate::rows::{self, ProposalRow, RowFault};

/// Rollbacks in the life of one database.
pub const ROLLBACKS_MAX: u32 = 8;
/// Bytes of the findings of one divergence; what does not fit is named in the report and not copied.
pub const FINDINGS_BYTES_MAX: usize = 16 << 20;
/// Name of the finding that comes first and lists the others.
pub const REPORT: &str = "report.txt";
/// Rows of history taken back with one read.
const HISTORY_PAGE: usize = 1_024;

/// What was found, and how far it is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub struct Divergence {
    /// What this node computed.
    pub own: Claim,
    /// What a quorum certified for the same height.
    pub certified: Claim,
    /// The last height whose own result is the certified one.
    pub back_to: Height,
    /// How far it is dealt with.
    pub stage: Stage,
    /// Divergences of this database so far, this one included.
    pub count: u32,
}

/// How far a divergence is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, SchemaWrite, SchemaRead)]
pub enum Stage {
    /// The heights are to be taken back at the next start.
    Found,
    /// They were, and are executed once more.
    TakenBack,
    /// The second execution gave the certified result.
    Passed,
}

impl Canonical for Divergence {
    const NAME: &'static str = "divergence";
    const BYTES_MAX: usize = 40 + 40 + 8 + 4 + 4;

    fn check(&self) -> Result<(), CodecError> {
        Ok(())
    }
}

/// What a diverged node does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It starts anew, which takes the heights back and executes them once more.
    RollBack(Divergence),
    /// It halts: it diverged again, or too often.
    Halt(Divergence),
}

/// Something to keep for those who look into a divergence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// A file name.
    pub name: String,
    /// Its content.
    pub bytes: Vec<u8>,
}

impl Divergence {
    /// The last divergence of a database, if it ever had one.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn read(store: &dyn Reader) -> Result<Option<Self>, RowFault> {
        let row = store.get(Table::Meta, rows::DIVERGENCE)?;
        row.map(|bytes| rows::decode(Table::Meta, &bytes)).transpose()
    }

    /// The chain reported [`crate::Report::Diverged`] and stopped. Says what to do.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn judge(
        store: &dyn Reader,
        own: Claim,
        certified: Claim,
        back_to: Height,
    ) -> Result<Verdict, RowFault> {
        let earlier = Self::read(store)?;
        let count = earlier.map_or(0, |earlier| earlier.count).saturating_add(1);
        let found = Self { own, certified, back_to, stage: Stage::Found, count };
        let is_again = earlier.is_some_and(|earlier| earlier.stage != Stage::Passed);
        let halts = is_again || count > ROLLBACKS_MAX;
        Ok(if halts { Verdict::Halt(found) } else { Verdict::RollBack(found) })
    }

    /// From here on the next start takes the heights back. Comes first: the findings can be gathered until then.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn begin(&self, store: &dyn Store) -> Result<(), RowFault> {
        self.write(store, WriteSet::new())
    }

    /// Takes back what a divergence asks for; before the executor is opened. Answers the divergence that is not passed.
    ///
    /// # Errors
    /// [`RowFault`]; what was taken back stays so, and the next call goes on.
    pub fn roll_back(store: &dyn Store) -> Result<Option<Self>, RowFault> {
        let Some(mut divergence) = Self::read(store)?.filter(|found| found.stage != Stage::Passed) else {
            return Ok(None);
        };
        if divergence.stage == Stage::TakenBack {
            return Ok(Some(divergence));
        }
        let mut head = Archive::new(store).head()?.ok_or(RowFault::Missing { table: Table::Meta })?;
        // Each height is a write of its own, so that none grows too large; a crash in between goes on from the head.
        while head.height > divergence.back_to {
            let mut set = WriteSet::new();
            head = take_back(store, head.height, &mut set)?;
            set.put(Table::Meta, rows::HEAD, head.encode());
            divergence.write(store, set)?;
        }
        divergence.stage = Stage::TakenBack;
        divergence.write(store, WriteSet::new())?;
        Ok(Some(divergence))
    }

    /// Results up to `certified` are certified. Answers whether that passes the divergence: the second execution gave
    /// the certified result.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn pass(&mut self, store: &dyn Store, certified: Height) -> Result<bool, RowFault> {
        if self.stage != Stage::TakenBack || certified < self.certified.height {
            return Ok(false);
        }
        self.stage = Stage::Passed;
        self.write(store, WriteSet::new())?;
        Ok(true)
    }

    fn write(&self, store: &dyn Store, mut set: WriteSet) -> Result<(), RowFault> {
        set.put(Table::Meta, rows::DIVERGENCE, self.encode());
        Ok(store.write(set, Durability::Synced)?)
    }

    /// Inputs and own results of the heights from the last certified one up to the one that differs, as this node has
    /// them, before they are taken back. The report comes first and lists the rest.
    ///
    /// # Errors
    /// [`RowFault`].
    pub fn findings(&self, store: &dyn Reader) -> Result<Vec<Finding>, RowFault> {
        let mut findings = Findings::new(self);
        for height in self.back_to.0.saturating_add(1)..=self.own.height.0 {
            findings.height(store, Height(height))?;
        }
        Ok(findings.finish())
    }
}

/// Adds what takes one height back; answers the head before it.
fn take_back(store: &dyn Store, height: Height, set: &mut WriteSet) -> Result<StateHead, RowFault> {
    let row = key::height(height.0);
    let archive = Archive::new(store);
    let BlockDigest(digest) = archive.digest(height)?.ok_or(RowFault::Missing { table: Table::Heights })?;
    let outcomes = archive.outcomes(height)?.ok_or(RowFault::Missing { table: Table::Outcomes })?;
    let undo = undo_of(store, height)?.ok_or(RowFault::Missing { table: Table::Undo })?;
    if undo.registry.is_some() && undo.head.chain == ROOT_CHAIN {
        let registry = archive.registry_at(height)?.ok_or(RowFault::Missing { table: Table::Registries })?;
        for child in added(&registry, height) {
            set.delete(Table::Meta, rows::origin_parts(child));
        }
    }
    if undo.head.height.next() != height {
        return Err(RowFault::Missing { table: Table::Undo });
    }
    for outcome in &outcomes {
        set.delete(Table::Transactions, outcome.id.0);
    }
    take_back_receipts(store, height, &undo.head, set)?;
    let opened = undo.opened.iter().map(|(_, slot)| *slot);
    for slot in undo.records.iter().map(|(slot, _)| *slot).chain(opened) {
        take_back_history(store, slot, height, set)?;
    }
    for (slot, record) in &undo.records {
        set.put(Table::Records, key::slot(slot.0), record.encode());
    }
    for (id, slot) in &undo.opened {
        set.delete(Table::Records, key::slot(slot.0));
        set.delete(Table::Slots, id.0);
    }
    // The registry before the height is an older row.
    let ascending = [Table::Heights, Table::Results, Table::Outcomes, Table::Outboxes, Table::Registries];
    for table in ascending.into_iter().chain([Table::Undo]) {
        set.delete(table, row);
    }
    set.put(Table::Proposals, key::proposal(height.0, &digest), proposal_row(&archive, height)?.encode());
    Ok(undo.head)
}

/// Its bundles keep their own rows: the block stays final, and is executed once more.
fn proposal_row<R: Reader + ?Sized>(
    archive: &Archive<'_, R>,
    height: Height,
) -> Result<ProposalRow, RowFault> {
    let block = archive.block_at(height)?.ok_or(RowFault::Missing { table: Table::Blocks })?;
    let read = |digest: &BundleDigest| {
        let bundle = archive.bundle(*digest)?.ok_or(RowFault::Missing { table: Table::Bundles })?;
        Ok(bundle.encode())
    };
    Ok(ProposalRow { bundles: block.body.bundles.iter().map(read).collect::<Result<_, RowFault>>()? })
}

/// What the height sent is sent again, maybe otherwise; refunds that it received are received again.
fn take_back_receipts(
    store: &dyn Store,
    height: Height,
    before: &StateHead,
    set: &mut WriteSet,
) -> Result<(), RowFault> {
    let archive = Archive::new(store);
    let result = archive.result(height)?.ok_or(RowFault::Missing { table: Table::Results })?;
    for pair in &result.supply.pairs {
        let earlier = before.supply.pair(pair.chain);
        for sequence in earlier.sent.count..pair.sent.count {
            set.delete(Table::Receipts, key::receipt(pair.chain.0, sequence));
        }
    }
    let Some(block) = archive.block_at(height)? else { return Ok(()) };
    for digest in block.body.bundles {
        let bundle = archive.bundle(digest)?.ok_or(RowFault::Missing { table: Table::Bundles })?;
        let source = bundle.source();
        for (sequence, receipt) in (bundle.before.count..).zip(&bundle.receipts) {
            // One that passed by has no row, and that of its number is of another one.
            if let Receipt::Refund { chain, credit, .. } = receipt
                && store.get(Table::Refunds, &key::receipt(chain.0, *credit))?.as_deref()
                    == Some(key::receipt(source.0, sequence).as_slice())
                // What was passed over or skipped names refunds that came with another height: those stay.
                && before.supply.pair(source).received.count <= sequence
            {
                set.delete(Table::Refunds, key::receipt(chain.0, *credit));
            }
        }
    }
    Ok(())
}

fn take_back_history(
    store: &dyn Store,
    slot: Slot,
    height: Height,
    set: &mut WriteSet,
) -> Result<(), RowFault> {
    let until = key::history(slot.0, height.next().0, 0, 0);
    let mut last: Option<Vec<u8>> = None;
    loop {
        let first = key::history(slot.0, height.0, 0, 0);
        let from = match &last {
            None => Bound::Included(first.as_slice()),
            Some(last) => Bound::Excluded(last.as_slice()),
        };
        let page = Page { from, until: Some(&until), ..Page::first(HISTORY_PAGE) };
        let rows = store.scan(Table::History, page)?;
        let Some((place, _)) = rows.last() else { return Ok(()) };
        last = Some(place.clone());
        for (place, _) in rows {
            set.delete(Table::History, place);
        }
    }
}

fn undo_of(store: &(impl Reader + ?Sized), height: Height) -> Result<Option<Undo>, RowFault> {
    let row = store.get(Table::Undo, &key::height(height.0))?;
    let decode = |bytes: Vec<u8>| {
        Undo::decode(&bytes).map_err(|fault| RowFault::Damaged { table: Table::Undo, fault })
    };
    row.map(decode).transpose()
}

/// The findings of a divergence, as they are gathered.
struct Findings {
    report: String,
    files: Vec<Finding>,
    bytes: usize,
}

impl Findings {
    fn new(divergence: &Divergence) -> Self {
        let Divergence { own, certified, back_to, count, .. } = divergence;
        let report = format!(
            "This node's result differs from the one that a quorum certified (PROTOCOL rule 14).\n\n\
             height               {}\n\
             computed here        {}\n\
             certified            {}\n\
             last equal height    {back_to}\n\
             divergences so far   {count}\n\n\
             The first wrong height lies above the last equal one. Per height: the block and its batches (what went in), \n\
             result and outcomes (what came out), undo (touched records before it), as this node stored them; records.txt\n\
             has the touched records now. Values are encoded as the protocol says.\n\n",
            own.height, own.result, certified.result
        );
        Self { report, files: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, name: String, bytes: Option<Vec<u8>>) {
        // Writing to a string cannot fail.
        let _infallible = match bytes {
            None => writeln!(self.report, "{name}: not in the store"),
            Some(bytes) if self.bytes.saturating_add(bytes.len()) > FINDINGS_BYTES_MAX => {
                writeln!(self.report, "{name}: {} bytes, not copied", bytes.len())
            }
            Some(bytes) => {
                self.bytes = self.bytes.saturating_add(bytes.len());
                let said = writeln!(self.report, "{name}: {} bytes", bytes.len());
                self.files.push(Finding { name, bytes });
                said
            }
        };
    }

    fn height(&mut self, store: &dyn Reader, height: Height) -> Result<(), RowFault> {
        let row = key::height(height.0);
        let name = |what: &str| format!("height-{height}.{what}");
        let block = Archive::new(store).block_at(height)?;
        let batches = block.as_ref().map(|block| block.body.batches.clone()).unwrap_or_default();
        let bundles = block.as_ref().map(|block| block.body.bundles.clone()).unwrap_or_default();
        for (place, bundle) in bundles.iter().enumerate() {
            self.add(name(&format!("bundle-{place}")), store.get(Table::Bundles, &bundle.0)?);
        }
        self.add(name("block"), block.map(|block| block.encode()));
        for (place, batch) in batches.iter().enumerate() {
            self.add(name(&format!("batch-{place}")), store.get(Table::Batches, &batch.0)?);
        }
        for (what, table) in
            [("result", Table::Results), ("outcomes", Table::Outcomes), ("undo", Table::Undo)]
        {
            self.add(name(what), store.get(table, &row)?);
        }
        let mut records = String::new();
        if let Some(undo) = undo_of(store, height)? {
            let before = undo.records.iter().map(|(slot, record)| (*slot, Some(record)));
            for (slot, before) in before.chain(undo.opened.iter().map(|(_, slot)| (*slot, None))) {
                let now = store.get(Table::Records, &key::slot(slot.0))?;
                let now = now.and_then(|bytes| Record::decode(&bytes).ok());
                let _infallible = writeln!(records, "slot {slot}\n  before {before:?}\n  now    {now:?}");
            }
        }
        self.add(name("records.txt"), Some(records.into_bytes()));
        Ok(())
    }

    fn finish(self) -> Vec<Finding> {
        let Self { report, mut files, .. } = self;
        files.insert(0, Finding { name: REPORT.to_owned(), bytes: report.into_bytes() });
        files
    }
}
