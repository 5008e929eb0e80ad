//! What a file holds: told by its first bytes, and by its name where those leave it open.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek};
use std::path::Path;
use std::sync::Arc;

use super::csv::CsvRows;
use super::file_error;
use super::json::{JsonRows, List, Shape};
use super::row::Row;
use super::zstd::Frames;
use crate::error::DatasetError;

/// The rows of one file.
pub(super) type Reader = Box<dyn Iterator<Item = Result<Row, DatasetError>>>;

/// Bytes at the beginning of a file by which it is told.
const HEAD: usize = 512;
/// Bytes that are read at once.
const BUFFER: usize = 1 << 18;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Files that are no rows, by how they begin, and what to do about them.
const FOREIGN: [(&[u8], &str); 10] = [
    (
        b"version https://git-lfs",
        "is a Git-LFS pointer and not the data; hint: run `git lfs pull` where it was cloned, or fetch the data set by its name",
    ),
    (
        b"PK\x03\x04",
        "is a zip archive; hint: unpack it, and give the directory",
    ),
    (
        b"BZh",
        "is compressed with bzip2, which is not read; hint: unpack it, or compress it with gzip or zstd",
    ),
    (
        b"\xfd7zXZ\x00",
        "is compressed with xz, which is not read; hint: unpack it, or compress it with gzip or zstd",
    ),
    (
        b"\x04\x22\x4d\x18",
        "is compressed with lz4, which is not read; hint: unpack it, or compress it with gzip or zstd",
    ),
    (
        b"ARROW1",
        "is an Arrow file; hint: write it as Parquet or JSON lines, as to_parquet() of the library datasets does",
    ),
    (
        b"\xff\xff\xff\xff",
        "is an Arrow stream; hint: write it as Parquet or JSON lines, as to_parquet() of the library datasets does",
    ),
    (
        b"\x80\x04",
        "is a pickle, which may run code and is not read; hint: write it as Parquet or JSON lines",
    ),
    (
        b"<!DOCTYPE",
        "is a page of the web and not the data; hint: fetch the file itself, not the page about it",
    ),
    (
        b"<html",
        "is a page of the web and not the data; hint: fetch the file itself, not the page about it",
    ),
];

/// How the bytes of a file are packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    fn of(head: &[u8]) -> Self {
        if head.starts_with(b"\x1f\x8b") {
            Self::Gzip
        } else if head.starts_with(b"\x28\xb5\x2f\xfd") {
            Self::Zstd
        } else {
            Self::None
        }
    }
}

/// How rows stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    Lines,
    List,
    Csv { delimiter: u8 },
    Parquet,
}

/// A file whose container is known, before its first row.
struct Opened {
    path: Arc<Path>,
    compression: Compression,
    container: Container,
    /// The file itself, at its beginning, for what reads it in any order.
    #[cfg_attr(not(feature = "parquet"), allow(dead_code))]
    file: File,
    /// Its bytes, expanded, without a byte order mark.
    expanded: Box<dyn BufRead>,
}

/// The rows of the file at `path`, of at most `row_bytes` bytes each.
///
/// # Errors
/// [`DatasetError::Io`], and [`DatasetError::File`] for a file that holds no rows.
pub(super) fn open(path: &Path, row_bytes: usize) -> Result<Reader, DatasetError> {
    let Opened {
        path,
        container,
        file,
        expanded,
        ..
    } = look(path)?;
    Ok(match container {
        Container::Lines => Box::new(JsonRows::new(expanded, &path, Shape::Lines, row_bytes)),
        Container::List => {
            let shape = Shape::List(List::Before);
            Box::new(JsonRows::new(expanded, &path, shape, row_bytes))
        }
        Container::Csv { delimiter } => {
            Box::new(CsvRows::new(expanded, &path, delimiter, row_bytes)?)
        }
        Container::Parquet => parquet(file, &path, row_bytes)?,
    })
}

#[cfg(feature = "parquet")]
fn parquet(file: File, path: &Arc<Path>, row_bytes: usize) -> Result<Reader, DatasetError> {
    Ok(Box::new(super::parquet::ParquetRows::new(
        file, path, row_bytes,
    )?))
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: File, path: &Arc<Path>, _: usize) -> Result<Reader, DatasetError> {
    let reason = "is a Parquet file, and this program was built without the feature `parquet`";
    Err(file_error(path, reason))
}

/// In words, what the file at `path` holds: `JSON lines`, `CSV, compressed with gzip`.
///
/// # Errors
/// As when its rows are read.
pub fn describe_file(path: &Path) -> Result<String, DatasetError> {
    let opened = look(path)?;
    let container = match opened.container {
        Container::Lines => "JSON lines",
        Container::List => "a JSON array",
        Container::Csv { delimiter: b'\t' } => "tab-separated values",
        Container::Csv { delimiter: b';' } => "CSV with semicolons",
        Container::Csv { .. } => "CSV",
        Container::Parquet => "Parquet",
    };
    let compression = match opened.compression {
        Compression::None => "",
        Compression::Gzip => ", compressed with gzip",
        Compression::Zstd => ", compressed with zstd",
    };
    Ok(format!("{container}{compression}"))
}

/// Opens a file and finds out what it holds.
fn look(path: &Path) -> Result<Opened, DatasetError> {
    let io = |error| DatasetError::Io {
        path: path.to_owned(),
        error,
    };
    let mut file = File::open(path).map_err(io)?;
    let head = head_of(&mut file).map_err(io)?;
    file.rewind().map_err(io)?;
    refuse_foreign(path, &head)?;
    let compression = Compression::of(&head);
    let packed = file.try_clone().map_err(io)?;
    let expanding = |error| {
        let reason =
            format!("cannot be expanded: {error}; hint: the file is damaged, fetch it again");
        file_error(path, reason)
    };
    let mut bytes: Box<dyn Read> = match compression {
        Compression::None => Box::new(packed),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(packed))),
        Compression::Zstd => Box::new(Frames::new(BufReader::new(packed)).map_err(expanding)?),
    };
    let head = head_of(&mut bytes).map_err(expanding)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let container = container(path, &name.to_lowercase(), &head)?;
    if compression != Compression::None {
        refuse_foreign(path, &head)?;
        if container == Container::Parquet {
            let reason = "is a Parquet file that is compressed as a whole; hint: unpack it, Parquet files are compressed within";
            return Err(file_error(path, reason));
        }
    }
    let marked = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&head).to_vec();
    let expanded = Cursor::new(marked).chain(BufReader::with_capacity(BUFFER, bytes));
    Ok(Opened {
        path: Arc::from(path),
        compression,
        container,
        file,
        expanded: Box::new(expanded),
    })
}

/// The first bytes, as many as there are up to [`HEAD`].
fn head_of(reader: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(HEAD);
    reader.by_ref().take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

fn refuse_foreign(path: &Path, head: &[u8]) -> Result<(), DatasetError> {
    match FOREIGN.iter().find(|(magic, _)| head.starts_with(magic)) {
        Some((_, reason)) => Err(file_error(path, *reason)),
        None => Ok(()),
    }
}

/// The container of a file called `name`, in lower case, that begins with `head`, expanded.
fn container(path: &Path, name: &str, head: &[u8]) -> Result<Container, DatasetError> {
    let name = ["gz", "gzip", "zst", "zstd"]
        .iter()
        .find_map(|ending| name.strip_suffix(ending)?.strip_suffix('.'))
        .unwrap_or(name);
    let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
    if head.starts_with(b"PAR1") {
        return Ok(Container::Parquet);
    }
    if matches!(ending, "parquet" | "pq") {
        let reason =
            "does not begin as a Parquet file does; hint: the file is damaged, fetch it again";
        return Err(file_error(path, reason));
    }
    let text = head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head);
    match ending {
        "csv" => {
            return Ok(Container::Csv {
                delimiter: delimiter(text),
            });
        }
        "tsv" => return Ok(Container::Csv { delimiter: b'\t' }),
        _ => {}
    }
    let first = text.iter().find(|byte| !byte.is_ascii_whitespace());
    Ok(match first {
        Some(b'[') => Container::List,
        _ => Container::Lines,
    })
}

/// What stands most often between the names of a table's first line.
fn delimiter(text: &[u8]) -> u8 {
    let header = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |wanted: u8| header.iter().filter(|byte| **byte == wanted).count();
    // The last of those that stand equally often is taken: a comma.
    [b'\t', b';', b',']
        .into_iter()
        .max_by_key(|delimiter| count(*delimiter))
        .unwrap_or(b',')
}
