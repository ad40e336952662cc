//! What one synced write costs on the disk that is measured: the figure that bounds every
//! acknowledgement at window 1.

use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Instant;

const BLOCK: usize = 4096;
const WRITES: usize = 200;

/// The median of so many writes of 4 KiB with fdatasync into a file that was written before, in
/// milliseconds.
pub fn sync_ms(dir: &Path) -> Result<f64, String> {
    let path = dir.join("probe");
    let times = probe(&path);
    // A leftover does no harm: the next run overwrites it.
    let _ = fs::remove_file(&path);
    let mut times = times.map_err(|e| format!("{}: {e}", path.display()))?;
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

fn probe(path: &Path) -> std::io::Result<Vec<f64>> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0; BLOCK * WRITES])?;
    file.sync_all()?;
    file.seek(SeekFrom::Start(0))?;
    (0..WRITES)
        .map(|_| {
            let began = Instant::now();
            file.write_all(&[1; BLOCK])?;
            file.sync_data()?;
            Ok(began.elapsed().as_secs_f64() * 1e3)
        })
        .collect()
}
