//! The files of a log: which they are, and their bytes.
//!
//! `00000012.log` is segment 12, `00000012-00034000.log` a continuation of it: the older file does
//! not count from that offset on, since writing to it failed there. Both may end in `.bad`, when
//! they are named on the command line. A file of another name is known by its header. Reading
//! expects anything: a block that the disk does not give reads as zeros and is told.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::Failure;
use super::text::quoted;
use super::walk::{Item, Tally, walk};
use crate::host::journal::import::UNFINISHED;
use crate::host::journal::{Disk, Folder};
use crate::store::journal::segment::{self, Found, HEADER_LEN, Header, VERSION};
use crate::store::journal::{Place, Placed};

/// No segment is longer: the largest record that can be made fits twice.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// What is given up together where the disk gives errors.
const BLOCK: usize = 4096;
/// How often a file is read again because it looks damaged and somebody writes to it.
const READ_AGAIN_MAX: usize = 8;

/// The files of a log, in its order.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) pieces: Vec<Piece>,
    /// What is part of every record's CRC.
    pub(super) salt: u64,
    /// What was strange, but is no damage.
    pub(super) warnings: Vec<String>,
}

/// A file.
#[derive(Debug)]
pub(super) struct Piece {
    path: PathBuf,
    /// How it is called in lines.
    pub(super) name: String,
    pub(super) segment: u32,
    /// Where in the segment it begins.
    pub(super) start: u32,
    /// Where in the segment its continuation begins.
    until: Option<u32>,
    /// Nothing was written behind it.
    is_newest: bool,
}

/// What is in a file.
pub(super) struct Content {
    bytes: Vec<u8>,
    begin: Place,
    /// The bytes of the file, those that do not count too.
    pub(super) file_bytes: u64,
    is_newest: bool,
    salt: u64,
    /// What is wrong with the file besides records.
    pub(super) problems: Vec<String>,
}

/// What reading a file came to.
pub(super) enum Loaded {
    Content(Content),
    /// It is gone: the broker cleaned it.
    Vanished,
    /// It holds nothing, not even a header.
    Unused,
    /// Why it cannot be read.
    Failed(String),
}

impl Log {
    /// Finds the files; `salt` is what the user knows of it.
    pub(super) fn find(sources: &[PathBuf], salt: Option<u64>) -> Result<Log, Failure> {
        let mut finding = Finding::default();
        for source in sources {
            let cannot = |error: io::Error| format!("cannot read {}: {error}", source.display());
            if fs::metadata(source).map_err(cannot)?.is_dir() {
                finding.add_folder(source).map_err(cannot)?;
            } else {
                finding.add_file(source)?;
            }
        }
        finding.finish(sources, salt)
    }
}

#[derive(Default)]
struct Finding {
    pieces: BTreeMap<(u32, u32), Piece>,
    /// Those of all headers.
    salts: Vec<u64>,
    /// Whether some file has more than zeros where its header should be.
    has_damaged_header: bool,
    /// The last file that has something in it.
    newest: Option<(u32, u32)>,
    warnings: Vec<String>,
}

impl Finding {
    fn add_folder(&mut self, folder: &Path) -> io::Result<()> {
        self.note_unfinished(folder);
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let Some(key) = entry.file_name().to_str().and_then(parse_name) else {
                continue;
            };
            let path = entry.path();
            match entry.metadata() {
                Ok(metadata) if metadata.is_file() => {}
                Ok(_) => continue,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            match read_start(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                // It is told when it is read as a whole.
                Err(_) => {}
                Ok(start) => self.note_header(key, &start),
            }
            self.add(key, path, true);
        }
        Ok(())
    }

    fn add_file(&mut self, path: &Path) -> Result<(), Failure> {
        let cannot = |error: io::Error| format!("cannot read {}: {error}", path.display());
        if !fs::metadata(path).map_err(cannot)?.is_file() {
            return Err(Failure::Error(format!("{} is no file", path.display())));
        }
        self.note_unfinished(path.parent().unwrap_or(Path::new("")));
        let start = read_start(path).map_err(cannot)?;
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.map(|name| name.strip_suffix(".bad").unwrap_or(name));
        let named = name.and_then(parse_name);
        let key = match Header::find(&start) {
            Found::Header(header, _) => (header.segment, header.start),
            _ => named.ok_or_else(|| {
                let path = path.display();
                format!("neither the name of {path} nor its header says which segment it is")
            })?,
        };
        self.note_header(key, &start);
        self.add(key, path.to_owned(), named.is_some());
        Ok(())
    }

    /// Tells of a folder whose log a start has not completed.
    fn note_unfinished(&mut self, folder: &Path) {
        let mark = folder.join(UNFINISHED);
        let warning = format!(
            "{} is there: this log is a part of what was to be taken over from mosquitto.db, and \
             the next start throws it away and begins anew with that file.",
            mark.display()
        );
        if mark.exists() && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    fn note_header(&mut self, key: (u32, u32), start: &[u8]) {
        match Header::find(start) {
            Found::Header(header, _) => self.salts.push(header.salt),
            Found::Newer(_) => {}
            Found::Damaged if start.iter().all(|&byte| byte == 0) => return,
            Found::Damaged => self.has_damaged_header = true,
        }
        self.newest = self.newest.max(Some(key));
    }

    fn add(&mut self, key: (u32, u32), path: PathBuf, is_named: bool) {
        let name = path.file_name().map(|name| name.to_string_lossy());
        let name = name.unwrap_or_default().into_owned();
        // A name that says more than numbers is a stranger's.
        let name = match is_named {
            true => name,
            false => quoted(&name).to_string(),
        };
        if let Some(first) = self.pieces.get(&key) {
            // Files of two folders may have one name.
            let (path, first) = (path.as_os_str(), first.path.as_os_str());
            self.warnings.push(format!(
                "{} is left out: it is the same part of the log as {}, which was named first.",
                quoted(path.as_encoded_bytes()),
                quoted(first.as_encoded_bytes())
            ));
            return;
        }
        let piece = Piece {
            path,
            name,
            segment: key.0,
            start: key.1,
            until: None,
            is_newest: false,
        };
        self.pieces.insert(key, piece);
    }

    fn finish(mut self, sources: &[PathBuf], salt: Option<u64>) -> Result<Log, Failure> {
        if self.pieces.is_empty() {
            let sources: Vec<_> = sources.iter().map(|s| s.display().to_string()).collect();
            let sources = sources.join(", ");
            return Err(Failure::Error(format!("there is no log in {sources}")));
        }
        let known = salt.or_else(|| segment::common_salt(std::mem::take(&mut self.salts)));
        let Some(salt) = known.or((!self.has_damaged_header).then_some(0)) else {
            return Err(Failure::Error(
                "the headers of all segments are damaged: give the log's salt with --salt".into(),
            ));
        };
        let keys: Vec<(u32, u32)> = self.pieces.keys().copied().collect();
        for (at, key) in keys.iter().enumerate() {
            let next = keys.get(at + 1).copied();
            if let Some(piece) = self.pieces.get_mut(key) {
                piece.until = next.filter(|next| next.0 == key.0).map(|next| next.1);
                piece.is_newest = self.newest.is_none_or(|newest| *key >= newest);
            }
            // Cleaning takes the oldest first; what could not be removed may stay behind.
            if let Some(next) = next.filter(|next| next.0 > key.0.saturating_add(1)) {
                let (first, last) = (key.0 + 1, next.0 - 1);
                self.warnings.push(match first == last {
                    true => format!("segment {first} is not there."),
                    false => format!("segments {first} to {last} are not there."),
                });
            }
        }
        Ok(Log {
            pieces: self.pieces.into_values().collect(),
            salt,
            warnings: self.warnings,
        })
    }
}

impl Piece {
    /// Reads the file whole.
    pub(super) fn load(&self, salt: u64) -> Loaded {
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Loaded::Vanished,
            Err(error) => return Loaded::Failed(format!("cannot be opened: {error}")),
        };
        let mut content = match self.read(&file, salt) {
            Ok(content) => content,
            Err(what) => return Loaded::Failed(what),
        };
        for _ in 0..READ_AGAIN_MAX {
            if !content.is_damaged() {
                break;
            }
            // Somebody may have written while it was read.
            match self.read(&file, salt) {
                Ok(again) if again.bytes != content.bytes => content = again,
                _ => break,
            }
        }
        if content.bytes.iter().all(|&byte| byte == 0) {
            // One that was given up may have a continuation and nothing else.
            if !self.is_newest && self.until.is_none() {
                content.problem("has nothing but zeros although the log goes on behind it");
            }
            return match content.problems.is_empty() {
                true => Loaded::Unused,
                false => Loaded::Failed(content.problems.join(", ")),
            };
        }
        match Header::find(&content.bytes) {
            Found::Newer(version) => {
                return Loaded::Failed(format!(
                    "has format {version}, which a newer Midge wrote; this one knows formats up to \
                     {VERSION}"
                ));
            }
            Found::Damaged => content.problem("both copies of the header are damaged"),
            Found::Header(header, is_damaged) => {
                if is_damaged {
                    content.problem("one copy of the header is damaged");
                }
                self.compare(&header, &mut content);
            }
        }
        Loaded::Content(content)
    }

    fn compare(&self, header: &Header, content: &mut Content) {
        if (header.segment, header.start) != (self.segment, self.start) {
            content.problem(&format!(
                "the header says that it is segment {} from {} on",
                header.segment, header.start
            ));
        }
        if header.salt != content.salt {
            content.problem(&format!(
                "the header has another salt, {:016x}",
                header.salt
            ));
        }
    }

    fn read(&self, file: &File, salt: u64) -> Result<Content, String> {
        let cannot = |error: io::Error| format!("cannot be read: {error}");
        let file_bytes = file.metadata().map_err(cannot)?.len();
        if file_bytes > FILE_BYTES_MAX {
            return Err(format!("is no segment: it has {file_bytes} bytes"));
        }
        let mut problems = Vec::new();
        let (bytes, lost) = read_all(file, file_bytes as usize)?;
        if lost > 0 {
            problems.push(format!("{lost} bytes cannot be read from the disk"));
        }
        Ok(Content {
            bytes,
            begin: Place::new(self.segment, self.start.max(HEADER_LEN)),
            file_bytes,
            is_newest: self.is_newest,
            salt,
            problems,
        }
        .cut(self.until))
    }
}

impl Content {
    /// Goes through what is found.
    pub(super) fn walk<'a, E>(
        &'a self,
        each: impl FnMut(Placed, Item<'a>) -> Result<(), E>,
    ) -> Result<Tally, E> {
        let records = self.bytes.get(HEADER_LEN as usize..).unwrap_or_default();
        // Behind that there are no places.
        let most = (u32::MAX - self.begin.offset()) as usize;
        let records = &records[..records.len().min(most)];
        walk(self.salt, self.begin, records, self.is_newest, each)
    }

    /// What it holds.
    pub(super) fn tally(&self) -> Tally {
        let Ok(tally) = self.walk(|_, _| Ok::<(), Infallible>(()));
        tally
    }

    fn is_damaged(&self) -> bool {
        self.tally().damaged > 0 || !matches!(Header::find(&self.bytes), Found::Header(_, false))
    }

    fn problem(&mut self, what: &str) {
        self.problems.push(what.to_owned());
    }

    /// Takes away what lies behind the beginning of a continuation.
    fn cut(mut self, until: Option<u32>) -> Content {
        if let Some(until) = until {
            let records = until.saturating_sub(self.begin.offset());
            self.bytes.truncate((HEADER_LEN + records) as usize);
        }
        self
    }
}

/// The name of the file that holds a segment from `start` on.
pub(super) fn name_of(segment: u32, start: u32) -> String {
    match start {
        0 => format!("{segment:08}.log"),
        start => format!("{segment:08}-{start:08x}.log"),
    }
}

/// What [`name_of`] made a name of.
fn parse_name(name: &str) -> Option<(u32, u32)> {
    let stem = name.strip_suffix(".log")?;
    let (segment, start) = match stem.split_once('-') {
        None => (stem.parse().ok()?, 0),
        Some((segment, start)) => (segment.parse().ok()?, u32::from_str_radix(start, 16).ok()?),
    };
    (name_of(segment, start) == name).then_some((segment, start))
}

/// As many bytes of a file as a header has.
fn read_start(path: &Path) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    let mut bytes = vec![0; HEADER_LEN as usize];
    let got = Folder::read(&file, 0, &mut bytes)?;
    bytes.truncate(got);
    Ok(bytes)
}

/// So many bytes of a file, and how many of them are zeros in place of what the disk did not give.
fn read_all(file: &File, len: usize) -> Result<(Vec<u8>, usize), String> {
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(len)
        .map_err(|_| format!("has {len} bytes, for which there is no memory"))?;
    bytes.resize(len, 0);
    if let Ok(got) = Folder::read(file, 0, &mut bytes) {
        bytes.truncate(got);
        return Ok((bytes, 0));
    }
    bytes.fill(0);
    let mut lost = 0;
    for (number, block) in bytes.chunks_mut(BLOCK).enumerate() {
        if Folder::read(file, (number * BLOCK) as u64, block).is_err() {
            block.fill(0);
            lost += block.len();
        }
    }
    Ok((bytes, lost))
}
