//! A file of JSON lines that somebody else writes.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value};

/// How much is read at a time, and of a file that is opened for its end.
const CHUNK: u64 = 4 << 20;

/// How many bytes before the place are compared, to see whether they are still the same.
const MARK: usize = 128;

/// A line longer than this is left out.
const LONGEST: usize = 16 << 20;

/// Follows a file.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    /// Where the next whole line begins, or would.
    place: u64,
    /// The bytes just before.
    mark: Vec<u8>,
    /// Whether only the end of a long file is wanted at first.
    tail: bool,
    /// Lines that were no objects.
    unreadable: u64,
}

/// What is new in a file.
#[derive(Debug, Default, PartialEq)]
pub struct News {
    /// Whether it was cut or written anew, so that what was read of it before does not hold any more.
    pub rewound: bool,
    /// The lines that have come, in order.
    pub lines: Vec<Map<String, Value>>,
    /// Whether there is more to read at once.
    pub more: bool,
}

impl Follower {
    /// Follows the file at `path`, which need not be there yet, from its beginning.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            place: 0,
            mark: Vec::new(),
            tail: false,
            unreadable: 0,
        }
    }

    /// The same from near its end, where it is long.
    pub fn from_end(path: &Path) -> Self {
        Self {
            tail: true,
            ..Self::new(path)
        }
    }

    /// Lines so far that were no JSON objects.
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    /// Reads what is new. A last line without its end is left until it has one.
    ///
    /// # Errors
    /// Those of the file system, but for a file that is not there.
    pub fn poll(&mut self) -> io::Result<News> {
        let mut file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let rewound = self.place > 0;
                self.start_anew();
                return Ok(News {
                    rewound,
                    ..News::default()
                });
            }
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let mut news = News::default();
        if length < self.place || !self.is_as_it_was(&mut file)? {
            self.start_anew();
            news.rewound = true;
        }
        let mut skip = false;
        if self.place == 0 && self.tail && length > CHUNK {
            self.place = length - CHUNK;
            skip = true; // it may begin in the middle of a line
        }
        file.seek(SeekFrom::Start(self.place))?;
        let mut bytes = Vec::new();
        (&mut file).take(CHUNK).read_to_end(&mut bytes)?;
        let Some(end) = bytes.iter().rposition(|&byte| byte == b'\n') else {
            self.without_end(&mut file, bytes)?;
            return Ok(news);
        };
        let whole = &bytes[..=end];
        let mut lines = whole.split(|&byte| byte == b'\n');
        if skip {
            lines.next();
        }
        for line in lines.filter(|line| !line.is_empty()) {
            self.read(line, &mut news.lines);
        }
        self.go_on(whole);
        news.more = self.place < length && bytes.len() as u64 == CHUNK;
        Ok(news)
    }

    /// A line of which the end is not among the bytes read: it is being written, or longer than is read at a time.
    fn without_end(&mut self, file: &mut File, mut bytes: Vec<u8>) -> io::Result<()> {
        if (bytes.len() as u64) < CHUNK {
            return Ok(());
        }
        file.take((LONGEST as u64).saturating_sub(CHUNK))
            .read_to_end(&mut bytes)?;
        match bytes.iter().position(|&byte| byte == b'\n') {
            Some(end) => {
                self.unreadable += 1;
                self.go_on(&bytes[..=end]);
            }
            // So long a line is passed over in parts.
            None if bytes.len() >= LONGEST => self.go_on(&bytes),
            None => {}
        }
        Ok(())
    }

    fn read(&mut self, line: &[u8], into: &mut Vec<Map<String, Value>>) {
        let text = String::from_utf8_lossy(line);
        match serde_json::from_str::<Map<String, Value>>(&text) {
            Ok(fields) => into.push(fields),
            Err(_) => self.unreadable += 1,
        }
    }

    fn go_on(&mut self, read: &[u8]) {
        self.place += read.len() as u64;
        self.mark.extend(&read[read.len().saturating_sub(MARK)..]);
        self.mark.drain(..self.mark.len().saturating_sub(MARK));
    }

    fn start_anew(&mut self) {
        self.place = 0;
        self.mark.clear();
        self.unreadable = 0;
    }

    /// Whether what lies before the place is what was read there: a run that is rewound may have grown past it since.
    fn is_as_it_was(&self, file: &mut File) -> io::Result<bool> {
        let length = self.mark.len() as u64;
        file.seek(SeekFrom::Start(self.place - length))?;
        let mut there = Vec::new();
        file.take(length).read_to_end(&mut there)?;
        Ok(there == self.mark)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use super::*;

    fn steps(news: &News) -> Vec<u64> {
        let steps = news.lines.iter().map(|line| line["step"].as_u64().unwrap());
        steps.collect()
    }

    fn add(path: &Path, text: &[u8]) {
        let file = fs::OpenOptions::new().append(true).create(true).open(path);
        file.unwrap().write_all(text).unwrap();
    }

    #[test]
    fn a_line_cut_off_waits_for_its_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        let mut follower = Follower::new(&path);
        assert_eq!(follower.poll().unwrap(), News::default());
        add(&path, b"{\"step\":1}\n{\"st");
        assert_eq!(steps(&follower.poll().unwrap()), [1]);
        assert_eq!(follower.poll().unwrap(), News::default());
        add(&path, b"ep\":2}\n\xff\xfe\n[3]\n{\"step\":4}\n");
        assert_eq!(steps(&follower.poll().unwrap()), [2, 4]);
        assert_eq!(follower.unreadable(), 2);
    }

    #[test]
    fn a_run_that_is_rewound_is_read_anew_also_where_it_has_grown_since() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.jsonl");
        add(&path, b"{\"step\":1,\"s\":0.1}\n{\"step\":2,\"s\":0.2}\n");
        let mut follower = Follower::new(&path);
        assert_eq!(steps(&follower.poll().unwrap()), [1, 2]);
        fs::write(&path, "{\"step\":1,\"s\":0.1}\n").unwrap();
        let news = follower.poll().unwrap();
        assert!(news.rewound);
        assert_eq!(steps(&news), [1]);
        add(&path, b"{\"step\":2,\"s\":0.2}\n");
        assert_eq!(steps(&follower.poll().unwrap()), [2]);
        fs::write(
            &path,
            "{\"step\":1,\"s\":0.1}\n{\"step\":2,\"s\":0.3}\n{\"step\":3}\n",
        )
        .unwrap();
        let news = follower.poll().unwrap();
        assert!(news.rewound);
        assert_eq!(steps(&news), [1, 2, 3]);
        fs::remove_file(&path).unwrap();
        assert!(follower.poll().unwrap().rewound);
        assert!(!follower.poll().unwrap().rewound);
    }

    #[test]
    fn of_a_long_file_the_end_is_read_first() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("completions.jsonl");
        let filler = "x".repeat(1 << 20);
        for step in 1..=9 {
            add(
                &path,
                format!("{{\"step\":{step},\"text\":\"{filler}\"}}\n").as_bytes(),
            );
        }
        let mut follower = Follower::from_end(&path);
        assert_eq!(steps(&follower.poll().unwrap()), [7, 8, 9]);
        add(&path, b"{\"step\":10}\n");
        assert_eq!(steps(&follower.poll().unwrap()), [10]);
        // From the beginning it takes several looks.
        let mut follower = Follower::new(&path);
        let mut all = Vec::new();
        loop {
            let news = follower.poll().unwrap();
            all.extend(steps(&news));
            if !news.more {
                break;
            }
        }
        assert_eq!(all, (1..=10).collect::<Vec<_>>());
    }

    #[test]
    fn a_line_longer_than_is_read_at_a_time_is_passed_over() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("completions.jsonl");
        add(&path, "x".repeat(5 << 20).as_bytes());
        let mut follower = Follower::new(&path);
        assert_eq!(follower.poll().unwrap(), News::default());
        add(&path, b"\n{\"step\":1}\n");
        let mut all = steps(&follower.poll().unwrap());
        all.extend(steps(&follower.poll().unwrap()));
        assert_eq!((all, follower.unreadable()), (vec![1], 1));
    }
}
