//! The zip file of `torch.save`: entries that are stored as they are, found by its directory (APPNOTE.TXT 4.3, with the
//! extensions for large files).

use std::collections::HashMap;

/// Where an entry's bytes lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// Entries by name, without the directory that all of them are in.
#[derive(Debug)]
pub(super) struct Archive {
    entries: HashMap<String, Place>,
}

const DIRECTORY_ENTRY: u32 = 0x0201_4b50;
const DIRECTORY_END: u32 = 0x0605_4b50;
const DIRECTORY_END_64: u32 = 0x0606_4b50;
const LOCATOR_64: u32 = 0x0706_4b50;
const LOCAL_HEADER: u32 = 0x0403_4b50;

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(usize::from(u16::from_le_bytes(bytes.try_into().ok()?)))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes(bytes.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(8)?)?;
    usize::try_from(u64::from_le_bytes(bytes.try_into().ok()?)).ok()
}

impl Archive {
    /// Reads the directory.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub(super) fn open(bytes: &[u8]) -> Result<Self, String> {
        if !bytes.starts_with(b"PK") {
            let old = bytes.starts_with(&[0x80]);
            return Err(if old {
                "it is in the format of PyTorch before 1.6, which is not read".to_owned()
            } else {
                "not a file of torch.save".to_owned()
            });
        }
        let (mut at, count) =
            directory(bytes).ok_or_else(|| "cut short: its directory is missing".to_owned())?;
        let mut entries = HashMap::new();
        for _ in 0..count {
            let (name, place, next) = entry(bytes, at)
                .ok_or_else(|| format!("its directory is damaged at byte {at}"))??;
            let inner = name
                .split_once('/')
                .map_or(name.as_str(), |(_, inner)| inner);
            entries.insert(inner.to_owned(), place);
            at = next;
        }
        Ok(Self { entries })
    }

    /// Where the entry of that name lies.
    pub(super) fn find(&self, name: &str) -> Option<Place> {
        self.entries.get(name).copied()
    }
}

/// Where the directory begins, and how many entries it has.
fn directory(bytes: &[u8]) -> Option<(usize, usize)> {
    const LENGTH: usize = 22;
    let last = bytes.len().checked_sub(LENGTH)?;
    let first = last.saturating_sub(1 << 16);
    let end = (first..=last)
        .rev()
        .find(|&at| u32_at(bytes, at) == Some(DIRECTORY_END))?;
    let (count, start) = (u16_at(bytes, end + 10)?, u32_at(bytes, end + 16)?);
    if count < 0xffff && start < u32::MAX {
        return Some((start as usize, count));
    }
    let locator = end.checked_sub(20)?;
    if u32_at(bytes, locator)? != LOCATOR_64 {
        return None;
    }
    let end = u64_at(bytes, locator + 8)?;
    if u32_at(bytes, end)? != DIRECTORY_END_64 {
        return None;
    }
    Some((u64_at(bytes, end + 48)?, u64_at(bytes, end + 32)?))
}

/// An entry of the directory: its name, where its bytes lie, and where the next one begins.
#[allow(clippy::type_complexity)]
fn entry(bytes: &[u8], at: usize) -> Option<Result<(String, Place, usize), String>> {
    if u32_at(bytes, at)? != DIRECTORY_ENTRY {
        return None;
    }
    let method = u16_at(bytes, at + 10)?;
    let (stored, size) = (u32_at(bytes, at + 20)?, u32_at(bytes, at + 24)?);
    let lengths = [28, 30, 32].map(|offset| u16_at(bytes, at + offset));
    let [name_length, extra_length, comment_length] = lengths;
    let (name_length, extra_length) = (name_length?, extra_length?);
    let local = u32_at(bytes, at + 42)?;
    let name_end = at.checked_add(46 + name_length)?;
    let name = String::from_utf8_lossy(bytes.get(at + 46..name_end)?).into_owned();
    let extra = bytes.get(name_end..name_end + extra_length)?;
    // Sizes and offsets that do not fit in 32 bits stand there, in this order.
    let mut wide = wide_numbers(extra);
    let mut number = |narrow: u32| {
        if narrow == u32::MAX {
            wide.next().flatten()
        } else {
            Some(narrow as usize)
        }
    };
    let (size, stored) = (number(size)?, number(stored)?);
    let local = number(local)?;
    if method != 0 || size != stored {
        return Some(Err(format!(
            "{name} is compressed, which torch.save never does"
        )));
    }
    if u32_at(bytes, local)? != LOCAL_HEADER {
        return None;
    }
    let header = 30 + u16_at(bytes, local + 26)? + u16_at(bytes, local + 28)?;
    let start = local.checked_add(header)?;
    let end = start.checked_add(size)?;
    bytes.get(start..end)?;
    let next = name_end + extra_length + comment_length?;
    Some(Ok((name, Place { start, end }, next)))
}

/// The 64-bit numbers of the extra field with the id 1.
fn wide_numbers(extra: &[u8]) -> impl Iterator<Item = Option<usize>> {
    let mut at = 0;
    let mut found: &[u8] = &[];
    while let (Some(id), Some(length)) = (u16_at(extra, at), u16_at(extra, at + 2)) {
        let data = extra.get(at + 4..at + 4 + length).unwrap_or_default();
        if id == 1 {
            found = data;
        }
        at += 4 + length;
    }
    let chunks = found.as_chunks::<8>().0;
    chunks
        .iter()
        .map(|bytes| usize::try_from(u64::from_le_bytes(*bytes)).ok())
}
