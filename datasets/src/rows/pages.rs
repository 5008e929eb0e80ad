//! Parquet files whose pages are compressed with zstd.
//!
//! The crate `parquet` expands zstd through a library in C. Here it hands the pages out as they are in the file, as if they were not
//! compressed, and they are expanded in Rust.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use parquet::basic::Compression;
use parquet::bloom_filter::Sbbf;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::reader::{FileReader, RowGroupReader, SerializedPageReader};
use parquet::record::reader::RowIter;
use parquet::schema::types::Type;

use super::zstd::Frames;

/// Most bytes that a page may expand to.
const PAGE_BYTES: u64 = 1 << 30;

/// A file, of which the pages of every compression can be read.
pub(super) struct AnyFile {
    file: Arc<File>,
    metadata: ParquetMetaData,
}

impl AnyFile {
    /// A file that says this of itself.
    pub(super) fn new(file: File, metadata: ParquetMetaData) -> Self {
        let file = Arc::new(file);
        Self { file, metadata }
    }
}

impl FileReader for AnyFile {
    fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    fn num_row_groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    fn get_row_group(&self, index: usize) -> Result<Box<dyn RowGroupReader + '_>> {
        Ok(Box::new(AnyGroup {
            file: self.file.clone(),
            metadata: self.metadata.row_group(index),
        }))
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Result<RowIter<'_>> {
        RowIter::from_file(projection, self)
    }
}

/// A row group of such a file.
struct AnyGroup<'a> {
    file: Arc<File>,
    metadata: &'a RowGroupMetaData,
}

impl RowGroupReader for AnyGroup<'_> {
    fn metadata(&self) -> &RowGroupMetaData {
        self.metadata
    }

    fn num_columns(&self) -> usize {
        self.metadata.num_columns()
    }

    fn get_column_page_reader(&self, index: usize) -> Result<Box<dyn PageReader>> {
        let column = self.metadata.column(index);
        let rows = usize::try_from(self.metadata.num_rows())?;
        let file = self.file.clone();
        if !matches!(column.compression(), Compression::ZSTD(_)) {
            return Ok(Box::new(SerializedPageReader::new(
                file, column, rows, None,
            )?));
        }
        let as_it_is = column.clone().into_builder();
        let as_it_is = as_it_is
            .set_compression(Compression::UNCOMPRESSED)
            .build()?;
        let inner = SerializedPageReader::new(file, &as_it_is, rows, None)?;
        Ok(Box::new(ZstdPages { inner }))
    }

    fn get_column_bloom_filter(&self, _: usize) -> Option<&Sbbf> {
        None
    }

    fn get_row_iter(&self, projection: Option<Type>) -> Result<RowIter<'_>> {
        RowIter::from_row_group(projection, self)
    }
}

/// The pages of a column, expanded.
struct ZstdPages {
    inner: SerializedPageReader<File>,
}

impl Iterator for ZstdPages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

impl PageReader for ZstdPages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        self.inner.get_next_page()?.map(expanded).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.inner.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.inner.skip_next_page()
    }
}

/// The same page with its bytes expanded.
fn expanded(mut page: Page) -> Result<Page> {
    // In the second version levels stand before what is compressed, and it says whether anything is.
    let levels = match &page {
        Page::DataPageV2 {
            is_compressed: false,
            ..
        } => return Ok(page),
        Page::DataPageV2 {
            def_levels_byte_len,
            rep_levels_byte_len,
            ..
        } => *def_levels_byte_len as usize + *rep_levels_byte_len as usize,
        Page::DataPage { .. } | Page::DictionaryPage { .. } => 0,
    };
    let (Page::DataPage { buf, .. }
    | Page::DataPageV2 { buf, .. }
    | Page::DictionaryPage { buf, .. }) = &mut page;
    if levels > buf.len() {
        return Err(ParquetError::General(
            "a page is shorter than its levels".to_owned(),
        ));
    }
    let mut bytes = buf[..levels].to_vec();
    if buf.len() > levels {
        Frames::new(&buf[levels..])
            .and_then(|frames| frames.take(PAGE_BYTES).read_to_end(&mut bytes))
            .map_err(|error| {
                ParquetError::General(format!("a page cannot be expanded: {error}"))
            })?;
    }
    *buf = bytes.into();
    Ok(page)
}
