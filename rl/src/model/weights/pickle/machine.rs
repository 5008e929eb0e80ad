//! A pickle of tensors by their names, read without running anything of it.
//!
//! The opcodes are those that `torch.save` writes for a dictionary of tensors (protocol 2, Python's `pickletools`). Of all that a
//! pickle may name, only `collections.OrderedDict`, `torch._utils._rebuild_tensor_v2`, `torch._utils._rebuild_parameter` and
//! the types of storages mean something here.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// What the numbers of a storage are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Number {
    F32,
    F16,
    Bf16,
    F64,
    /// By its name.
    Other(String),
}

/// Which numbers of which storage make up a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TensorView {
    pub(super) storage: String,
    pub(super) number: Number,
    pub(super) shape: Vec<usize>,
    /// In values, not bytes.
    pub(super) strides: Vec<usize>,
    pub(super) offset: usize,
}

type Pairs = Rc<RefCell<Vec<(Item, Item)>>>;

/// A value on the stack.
#[derive(Debug, Clone)]
enum Item {
    /// None, a truth value, a float or a text of bytes: never part of a tensor.
    Plain,
    Whole(i64),
    Text(Rc<str>),
    Tuple(Rc<Vec<Item>>),
    List(Rc<RefCell<Vec<Item>>>),
    Dictionary(Pairs),
    /// A name, `module.attribute`.
    Global(Rc<str>),
    Storage(Rc<str>, Number),
    Tensor(Rc<TensorView>),
}

/// The largest pickle that is read, in bytes: it says where tensors lie and holds none.
const LARGEST: usize = 1 << 28;

/// The tensors of a pickled dictionary, in its order. Values that are none are left out.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn tensors(bytes: &[u8]) -> Result<Vec<(String, TensorView)>, String> {
    if bytes.len() > LARGEST {
        return Err(format!(
            "its pickle has {} bytes, more than names and places need",
            bytes.len()
        ));
    }
    let root = Machine::new(bytes).run()?;
    let Item::Dictionary(pairs) = root else {
        return Err("it holds something else than a dictionary of tensors".to_owned());
    };
    let mut tensors = Vec::new();
    for (key, value) in pairs.borrow().iter() {
        if let (Item::Text(name), Item::Tensor(view)) = (key, value) {
            tensors.push((name.to_string(), TensorView::clone(view)));
        }
    }
    if tensors.is_empty() {
        return Err("its dictionary has no tensor; a training checkpoint, perhaps, that holds the model further in".to_owned());
    }
    Ok(tensors)
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Item>,
    /// Where marks stand on the stack.
    marks: Vec<usize>,
    memory: HashMap<u32, Item>,
}

impl<'a> Machine<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            stack: Vec::new(),
            marks: Vec::new(),
            memory: HashMap::new(),
        }
    }

    fn run(mut self) -> Result<Item, String> {
        loop {
            let start = self.at;
            let opcode = self.take::<1>()?[0];
            if opcode == b'.' {
                return self.pop();
            }
            self.step(opcode)
                .map_err(|what| format!("its pickle at byte {start}: {what}"))?;
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), String> {
        match opcode {
            0x80 => {
                self.take::<1>()?;
            }
            0x95 => {
                self.take::<8>()?;
            }
            b'(' => self.marks.push(self.stack.len()),
            b'}' => self.stack.push(Item::Dictionary(Rc::default())),
            b']' => self.stack.push(Item::List(Rc::default())),
            b')' => self.stack.push(Item::Tuple(Rc::default())),
            b'N' | 0x88 | 0x89 => self.stack.push(Item::Plain),
            b'G' => {
                self.take::<8>()?;
                self.stack.push(Item::Plain);
            }
            b'J' => {
                let number = i32::from_le_bytes(self.take()?);
                self.stack.push(Item::Whole(i64::from(number)));
            }
            b'K' => {
                let number = self.take::<1>()?[0];
                self.stack.push(Item::Whole(i64::from(number)));
            }
            b'M' => {
                let number = u16::from_le_bytes(self.take()?);
                self.stack.push(Item::Whole(i64::from(number)));
            }
            0x8a => {
                let number = self.long()?;
                self.stack.push(number);
            }
            b'X' | 0x8c => {
                let length = self.length(opcode == b'X')?;
                let text = str::from_utf8(self.slice(length)?).map_err(|e| e.to_string())?;
                self.stack.push(Item::Text(text.into()));
            }
            b'U' | b'T' => {
                let length = self.length(opcode == b'T')?;
                self.slice(length)?;
                self.stack.push(Item::Plain);
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.stack
                    .push(Item::Global(format!("{module}.{name}").into()));
            }
            b'q' | b'r' | 0x94 => self.remember(opcode)?,
            b'h' | b'j' => self.recall(opcode)?,
            b't' | 0x85..=0x87 => self.tuple(opcode)?,
            b's' | b'u' | b'a' | b'e' => self.fill(opcode)?,
            b'Q' => self.storage()?,
            b'R' => self.reduce()?,
            // The state of an OrderedDict of PyTorch: versions of modules.
            b'b' => {
                self.pop()?;
            }
            b'0' => {
                self.pop()?;
            }
            other => return Err(format!("the opcode {other:#04x} is none of a state_dict's")),
        }
        Ok(())
    }

    fn slice(&mut self, length: usize) -> Result<&'a [u8], String> {
        let end = self.at.checked_add(length);
        let slice = end.and_then(|end| self.bytes.get(self.at..end));
        let slice = slice.ok_or_else(|| "its pickle is cut short".to_owned())?;
        self.at += length;
        Ok(slice)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut taken = [0; N];
        taken.copy_from_slice(self.slice(N)?);
        Ok(taken)
    }

    /// A length of four bytes, or of one.
    fn length(&mut self, wide: bool) -> Result<usize, String> {
        if wide {
            Ok(u32::from_le_bytes(self.take()?) as usize)
        } else {
            Ok(usize::from(self.take::<1>()?[0]))
        }
    }

    /// An integer of as many bytes as the first one says.
    fn long(&mut self) -> Result<Item, String> {
        let length = self.length(false)?;
        let bytes = self.slice(length)?;
        if length > 8 {
            return Ok(Item::Plain);
        }
        let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
        let mut wide = [if negative { 0xff } else { 0 }; 8];
        wide[..length].copy_from_slice(bytes);
        Ok(Item::Whole(i64::from_le_bytes(wide)))
    }

    fn line(&mut self) -> Result<&'a str, String> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|&byte| byte == b'\n');
        let length = length.ok_or_else(|| "its pickle is cut short".to_owned())?;
        self.at += length + 1;
        str::from_utf8(&rest[..length]).map_err(|error| error.to_string())
    }

    fn pop(&mut self) -> Result<Item, String> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= bottom {
            return Err("nothing is on the stack".to_owned());
        }
        self.stack
            .pop()
            .ok_or_else(|| "nothing is on the stack".to_owned())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Item>, String> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| "there is no mark".to_owned())?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Result<Item, String> {
        let top = self.stack.last().cloned();
        top.ok_or_else(|| "nothing is on the stack".to_owned())
    }

    fn remember(&mut self, opcode: u8) -> Result<(), String> {
        let key = match opcode {
            b'q' => u32::from(self.take::<1>()?[0]),
            b'r' => u32::from_le_bytes(self.take()?),
            _ => self.memory.len() as u32,
        };
        let top = self.top()?;
        self.memory.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<(), String> {
        let key = if opcode == b'h' {
            u32::from(self.take::<1>()?[0])
        } else {
            u32::from_le_bytes(self.take()?)
        };
        let item = self.memory.get(&key).cloned();
        self.stack
            .push(item.ok_or_else(|| format!("nothing is remembered as {key}"))?);
        Ok(())
    }

    fn tuple(&mut self, opcode: u8) -> Result<(), String> {
        let items = if opcode == b't' {
            self.pop_to_mark()?
        } else {
            let count = usize::from(opcode - 0x84);
            let mut items = (0..count)
                .map(|_| self.pop())
                .collect::<Result<Vec<_>, _>>()?;
            items.reverse();
            items
        };
        self.stack.push(Item::Tuple(Rc::new(items)));
        Ok(())
    }

    /// Puts items into the list or dictionary below them.
    fn fill(&mut self, opcode: u8) -> Result<(), String> {
        let items = match opcode {
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            b'a' => vec![self.pop()?],
            _ => self.pop_to_mark()?,
        };
        match self.top()? {
            Item::List(list) => list.borrow_mut().extend(items),
            Item::Dictionary(pairs) => {
                let mut items = items.into_iter();
                while let (Some(key), Some(value)) = (items.next(), items.next()) {
                    pairs.borrow_mut().push((key, value));
                }
            }
            _ => return Err("it fills what is neither list nor dictionary".to_owned()),
        }
        Ok(())
    }

    /// `('storage', type, key, location, count)` as a storage.
    fn storage(&mut self) -> Result<(), String> {
        let item = self.pop()?;
        let Item::Tuple(parts) = &item else {
            return Err("a storage is not named by a tuple".to_owned());
        };
        let [Item::Text(_), Item::Global(kind), Item::Text(key), ..] = &parts[..] else {
            return Err("a storage is not named by its type and key".to_owned());
        };
        let kind = kind.rsplit('.').next().unwrap_or_default();
        let number = match kind {
            "FloatStorage" => Number::F32,
            "HalfStorage" => Number::F16,
            "BFloat16Storage" => Number::Bf16,
            "DoubleStorage" => Number::F64,
            other => Number::Other(other.to_owned()),
        };
        self.stack.push(Item::Storage(key.clone(), number));
        Ok(())
    }

    /// A call of what a name stands for.
    fn reduce(&mut self) -> Result<(), String> {
        let (arguments, callee) = (self.pop()?, self.pop()?);
        let (Item::Tuple(arguments), Item::Global(name)) = (&arguments, &callee) else {
            return Err("it calls something without a name".to_owned());
        };
        let made = match &**name {
            "collections.OrderedDict" if arguments.is_empty() => Item::Dictionary(Rc::default()),
            "torch._utils._rebuild_tensor_v2" => {
                tensor(arguments).ok_or_else(|| "a tensor is not described as one".to_owned())?
            }
            "torch._utils._rebuild_parameter" => match arguments.first() {
                Some(tensor @ Item::Tensor(_)) => tensor.clone(),
                _ => return Err("a parameter is not made of a tensor".to_owned()),
            },
            other => {
                return Err(format!(
                    "it asks to call {other}, which makes no tensor; nothing was called"
                ));
            }
        };
        self.stack.push(made);
        Ok(())
    }
}

/// `(storage, offset, shape, strides, …)` as a tensor.
fn tensor(arguments: &[Item]) -> Option<Item> {
    let [
        Item::Storage(key, number),
        Item::Whole(offset),
        Item::Tuple(shape),
        Item::Tuple(strides),
        ..,
    ] = arguments
    else {
        return None;
    };
    let whole = |items: &[Item]| -> Option<Vec<usize>> {
        let numbers = items.iter().map(|item| match item {
            Item::Whole(number) => usize::try_from(*number).ok().filter(|&n| n < 1 << 40),
            _ => None,
        });
        numbers.collect()
    };
    let (shape, strides) = (whole(shape)?, whole(strides)?);
    (shape.len() == strides.len() && shape.len() <= 8).then_some(())?;
    Some(Item::Tensor(Rc::new(TensorView {
        storage: key.to_string(),
        number: number.clone(),
        shape,
        strides,
        offset: usize::try_from(*offset).ok()?,
    })))
}
