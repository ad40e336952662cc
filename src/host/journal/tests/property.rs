//! Any sequence of batches, errors anywhere, the power cut anywhere, again and again: what was
//! durable is found, byte for byte, and what was given up is not in the way.

use super::fake::Fake;
use super::*;
use fastrand::Rng;

/// What must be there after the lives of a log so far.
#[derive(Default)]
struct Model {
    /// Everything that was ever appended to segments that were not given up.
    appended: Log,
    durable: Place,
    /// Segments below this were given up; they may be there still.
    first: u32,
}

impl Model {
    fn check(&mut self, found: &Log, opened: &Opened, names: &[String], seed: u64) {
        let owed = self.appended.range(..self.durable);
        for (place, bytes) in owed.filter(|(place, _)| place.segment() >= self.first) {
            assert_eq!(
                found.get(place),
                Some(bytes),
                "seed {seed}: {place:?} is lost"
            );
        }
        for (place, bytes) in found {
            let known = self.appended.get(place);
            assert_eq!(
                known,
                Some(bytes),
                "seed {seed}: {place:?} was never written"
            );
        }
        // What was given up may come back only with all that came after. Behind what is durable a
        // batch that is tried again may leave later segments without earlier ones.
        let numbers: Vec<u32> = (opened.segments.iter())
            .map(|segment| segment.number)
            .filter(|&number| number <= self.durable.segment())
            .collect();
        let is_aside = |number: u32| names.contains(&format!("{}.bad", name_of(number, 0)));
        for pair in numbers.windows(2) {
            let is_gapless = (pair[0] + 1..pair[1]).all(is_aside);
            assert!(is_gapless, "seed {seed}: {numbers:?} {names:?}");
        }
        // What is found now was synced at the start, and counts from now on.
        self.appended = found.clone();
        if let Some(last) = found.last_key_value() {
            self.durable = self.durable.max(last.0.after(1));
        }
    }
}

fn random_batch(known: &mut Known, model: &mut Model, rng: &mut Rng) -> Batch {
    for _ in 0..rng.usize(1..6) {
        let len = match rng.usize(..40) {
            0 => rng.usize(1_000_000..1_300_000),
            1..=8 => rng.usize(100_000..400_000),
            _ => rng.usize(..300),
        };
        let mut payload = vec![rng.u8(..); len];
        payload.extend(rng.u64(..).to_le_bytes());
        known.append(&payload);
    }
    if rng.usize(..4) == 0 && known.writer.segment_count() > 2 {
        // What made it needless was durable before.
        let oldest = known.writer.oldest();
        if let Some(oldest) = oldest.filter(|o| o.number < model.durable.segment()) {
            known.writer.unlink(oldest.number);
            model.first = oldest.number + 1;
        }
    }
    known.batch()
}

/// One life: batches until the power goes; whether there were errors before.
fn live(
    disk: &Fake,
    files: &mut Files<Fake>,
    known: &mut Known,
    model: &mut Model,
    rng: &mut Rng,
) -> bool {
    let fault_rate = [0, 10, 40][rng.usize(..3)];
    disk.state().fault_rate = fault_rate;
    disk.state().power_left = Some(rng.u64(1..150));
    loop {
        let batch = random_batch(known, model, rng);
        model.appended.append(&mut known.log);
        while files.perform(&batch, Sync::Always).is_err() {
            if disk.state().power_left == Some(0) {
                return fault_rate > 0;
            }
        }
        model.durable = batch.end;
        if rng.bool() {
            // Whether it works is all the same.
            let _ = files.make_spare();
        }
    }
}

fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let mut disk = Fake::seeded(seed);
    let mut model = Model::default();
    let is_marking = seed % 2 == 0;
    // In any life: what an error damaged is told of until it is cleaned away.
    let mut had_faults = false;
    for _ in 0..4 {
        let (mut files, opened, found) = match open_all(disk.clone()) {
            Ok(opened) => opened,
            Err(error) => panic!("seed {seed}: what is left does not open: {error}"),
        };
        model.check(&found, &opened, &disk.names(), seed);
        if is_marking && !had_faults {
            // The power going is no damage.
            assert_eq!(opened.damaged, 0, "seed {seed}");
        }
        let mut known = Known::new(&opened);
        known.writer.set_marking(is_marking);
        had_faults |= live(&disk, &mut files, &mut known, &mut model, &mut rng);
        drop(files);
        disk = disk.cut(&mut rng);
    }
}

#[test]
fn what_was_durable_is_found_whatever_happened() {
    let seeds = std::env::var("MIDGE_JOURNAL_SEEDS").ok();
    let seeds: u64 = seeds.and_then(|n| n.parse().ok()).unwrap_or(80);
    for seed in 0..seeds {
        run(seed);
    }
}
