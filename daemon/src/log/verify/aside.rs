//! Records that are put aside in any order and taken back sorted: by way of files without a name in the temporary directory, so memory
//! is bounded however many there are.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, binary_heap::PeekMut},
    fs::File,
    io::{self, BufReader, BufWriter, ErrorKind, Read, Seek, Write},
};

/// So many bytes are sorted in memory at once.
const IN_MEMORY: usize = 8 << 20;
/// So many bytes are read ahead of each sorted file.
const READ_AHEAD: usize = 16 << 10;

/// Records that are put aside. In memory: [`IN_MEMORY`] bytes and the records' places in them.
#[derive(Default)]
pub(super) struct Aside {
    bytes: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
    files: Vec<File>,
    count: u64,
}

impl Aside {
    /// Puts a record aside.
    pub(super) fn push(&mut self, record: &[u8]) -> io::Result<()> {
        if self.bytes.len() + record.len() > IN_MEMORY && !self.ends.is_empty() {
            self.write_out()?;
        }
        self.bytes.extend_from_slice(record);
        self.ends.push(self.bytes.len());
        self.count += 1;
        Ok(())
    }

    /// Takes over what another one holds.
    pub(super) fn append(&mut self, mut other: Self) -> io::Result<()> {
        let in_files = other.count - other.ends.len() as u64;
        for record in other.sorted_in_memory() {
            self.push(record)?;
        }
        self.count += in_files;
        self.files.append(&mut other.files);
        Ok(())
    }

    /// How many there are.
    pub(super) const fn len(&self) -> u64 {
        self.count
    }

    fn sorted_in_memory(&self) -> Vec<&[u8]> {
        let mut from = 0;
        let mut records: Vec<&[u8]> = self
            .ends
            .iter()
            .map(|&to| {
                let record = &self.bytes[from..to];
                from = to;
                record
            })
            .collect();
        records.sort_unstable();
        records
    }

    fn write_out(&mut self) -> io::Result<()> {
        let mut writer = BufWriter::new(tempfile::tempfile()?);
        for record in self.sorted_in_memory() {
            let length = u32::try_from(record.len()).map_err(io::Error::other)?;
            writer.write_all(&length.to_le_bytes())?;
            writer.write_all(record)?;
        }
        let mut file = writer.into_inner()?;
        file.rewind()?;
        self.files.push(file);
        self.bytes.clear();
        self.ends.clear();
        Ok(())
    }

    /// All records, by their bytes. In memory: [`READ_AHEAD`] bytes and a record for each [`IN_MEMORY`] bytes of them.
    pub(super) fn sorted(mut self) -> io::Result<Sorted> {
        if !self.ends.is_empty() {
            self.write_out()?;
        }
        let mut files: Vec<BufReader<File>> = self
            .files
            .into_iter()
            .map(|file| BufReader::with_capacity(READ_AHEAD, file))
            .collect();
        let mut next = BinaryHeap::with_capacity(files.len());
        for (n, file) in files.iter_mut().enumerate() {
            if let Some(record) = read(file)? {
                next.push(Reverse((record, n)));
            }
        }
        Ok(Sorted { files, next })
    }
}

/// Records in the order of their bytes.
pub(super) struct Sorted {
    files: Vec<BufReader<File>>,
    next: BinaryHeap<Reverse<(Vec<u8>, usize)>>,
}

impl Iterator for Sorted {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut top = self.next.peek_mut()?;
        let n = top.0.1;
        let record = match read(&mut self.files[n]) {
            Ok(Some(following)) => std::mem::replace(&mut top.0.0, following),
            Ok(None) => PeekMut::pop(top).0.0,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(record))
    }
}

fn read(file: &mut BufReader<File>) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match file.read_exact(&mut length) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut record = vec![0; u32::from_le_bytes(length) as usize];
    file.read_exact(&mut record)?;
    Ok(Some(record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_aside_comes_back_sorted_however_much_it_is() {
        // More than is sorted in memory at once, in two parts.
        let count = 3 * IN_MEMORY / 100;
        let mut asides = [Aside::default(), Aside::default()];
        for n in 0..count {
            let mixed = n.wrapping_mul(7919) % count;
            asides[n % 2]
                .push(format!("{mixed:0100}").as_bytes())
                .unwrap();
        }
        let [mut all, other] = asides;
        all.append(other).unwrap();
        let mut expected = 0;
        for record in all.sorted().unwrap() {
            assert_eq!(record.unwrap(), format!("{expected:0100}").as_bytes());
            expected += 1;
        }
        assert_eq!(expected, count);
        assert!(Aside::default().sorted().unwrap().next().is_none());
    }
}
