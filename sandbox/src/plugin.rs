//! Rewards that people bring as WebAssembly components, in any language that makes them.
//!
//! The interface is `sandbox/wit/reward.wit`, world `reward`. A plugin runs under the same limits as a
//! program does. One that traps, hangs or answers nonsense is a fault.

use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, PoisonError};

use wasmtime::component::{ComponentType, InstancePre, Lift, Linker, Lower, TypedFunc};

use crate::cache::Compiled;
use crate::cache::ModuleCache;
use crate::engine::Engine;
use crate::error::SandboxError;
use crate::guest::{self, Guest};
use crate::limits::Limits;
use crate::private::cache_dir;
use crate::wasi::preview2;

/// One completion to be judged.
#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct PluginSample {
    /// What was asked: raw text, or the messages of a conversation as JSON.
    pub prompt: String,
    /// What the model answered.
    pub completion: String,
    /// The task's right answer, if it has one.
    pub reference: Option<String>,
    /// Everything else that is known of the task, as a JSON object.
    pub columns: String,
    /// Samples of one batch that answer the same task have the same number.
    pub group: u32,
}

/// What a completion is worth to a plugin.
#[derive(Clone, Debug, PartialEq, ComponentType, Lift, Lower)]
#[component(record)]
pub struct PluginScore {
    /// The score.
    pub value: f64,
    /// Numbers that explain it, by name.
    pub parts: Vec<(String, f64)>,
    /// A word for people.
    pub note: Option<String>,
}

/// How long an instance of a plugin lives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lifetime {
    /// One batch: nothing of one step reaches the next.
    #[default]
    Batch,
    /// Until it fails: quicker, and it can remember.
    UntilFailure,
}

type ScoreBatch = TypedFunc<(Vec<PluginSample>,), (Result<Vec<PluginScore>, String>,)>;
type Batch = (
    Vec<PluginSample>,
    Sender<Result<Vec<PluginScore>, SandboxError>>,
);

/// A loaded plugin. It has a thread of its own, with a stack that is long enough; batches wait for
/// each other.
pub struct Plugin {
    name: String,
    description: String,
    batches: Mutex<Sender<Batch>>,
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Plugin {
    /// Loads the component in `path` and asks it to describe itself.
    ///
    /// # Errors
    /// [`SandboxError::Io`] if it cannot be read, [`SandboxError::InvalidModule`] if it is no
    /// component of this world or imports anything but WASI, [`SandboxError::Plugin`] if it fails.
    pub fn load(path: &Path, lifetime: Lifetime, limits: &Limits) -> Result<Self, SandboxError> {
        limits.validate()?;
        let name = path.display().to_string();
        let wasm = std::fs::read(path).map_err(SandboxError::io(path))?;
        let engine = Engine::new(limits.stack_bytes)?;
        let cache = ModuleCache::open(&cache_dir()?)?;
        let Compiled::Component(component) = cache.load(&engine, &wasm, &name)? else {
            return Err(SandboxError::InvalidModule {
                name,
                reason: "it is a core module, not a component; hint: wasm-tools component new"
                    .to_owned(),
            });
        };
        let mut linker = Linker::new(engine.wasmtime());
        preview2::define(&mut linker, &engine, &component, &name, &[])?;
        let prepared =
            linker
                .instantiate_pre(&component)
                .map_err(|error| SandboxError::InvalidModule {
                    name: name.clone(),
                    reason: format!("{error:#}"),
                })?;
        let mut host = Host {
            name: name.clone(),
            engine: engine.clone(),
            prepared,
            limits: *limits,
            lifetime,
            live: None,
        };
        let (batches, inbox) = channel::<Batch>();
        let (described, description) = channel();
        std::thread::Builder::new()
            .name("reward-plugin".to_owned())
            .stack_size(engine.thread_stack_bytes())
            .spawn(move || {
                let result = host.describe();
                let works = result.is_ok();
                if described.send(result).is_ok() && works {
                    host.serve(inbox);
                }
            })
            .map_err(SandboxError::io(path))?;
        let lost = || SandboxError::WorkerLost {
            reason: format!("the thread of {name}"),
        };
        Ok(Self {
            description: description.recv().map_err(|_| lost())??,
            name,
            batches: Mutex::new(batches),
        })
    }

    /// Whether the component in `path` was compiled on this machine before: otherwise [`Plugin::load`] takes up to a minute.
    ///
    /// # Errors
    /// [`SandboxError::Io`] if it cannot be read.
    pub fn is_compiled(path: &Path, limits: &Limits) -> Result<bool, SandboxError> {
        limits.validate()?;
        let wasm = std::fs::read(path).map_err(SandboxError::io(path))?;
        let engine = Engine::new(limits.stack_bytes)?;
        Ok(ModuleCache::open(&cache_dir()?)?.holds(&engine, &wasm))
    }

    /// What it says that it rewards.
    pub fn description(&self) -> &str {
        &self.description
    }

    /// A score for each of `samples`, in their order.
    ///
    /// # Errors
    /// [`SandboxError::Plugin`] if it fails, in whatever way.
    pub fn score_batch(
        &self,
        samples: Vec<PluginSample>,
    ) -> Result<Vec<PluginScore>, SandboxError> {
        let (reply, replies) = channel();
        let lost = || SandboxError::WorkerLost {
            reason: format!("the thread of {}", self.name),
        };
        self.batches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send((samples, reply))
            .map_err(|_| lost())?;
        replies.recv().map_err(|_| lost())?
    }
}

/// Lines of its standard error that a plugin's failure shows: a traceback of some calls.
const LAST_LINES: usize = 12;

/// The end of what a guest wrote to its standard error, set off from what stands before: Python's traceback, Rust's panic.
fn last_words(stderr: &[u8]) -> String {
    let words = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = words.trim().lines().collect();
    let end = &lines[lines.len().saturating_sub(LAST_LINES)..];
    end.iter().map(|line| format!("\n  {line}")).collect()
}

/// The plugin on its own thread.
struct Host {
    name: String,
    engine: Engine,
    prepared: InstancePre<Guest>,
    limits: Limits,
    lifetime: Lifetime,
    live: Option<Live>,
}

struct Live {
    store: wasmtime::Store<Guest>,
    score_batch: ScoreBatch,
    describe: TypedFunc<(), (String,)>,
}

impl Host {
    fn serve(&mut self, inbox: Receiver<Batch>) {
        for (samples, reply) in inbox {
            let result = self.score_batch(samples);
            if self.lifetime == Lifetime::Batch || result.is_err() {
                self.live = None;
            }
            let _ = reply.send(result);
            // The next batch need not wait for its instance. A failure here happens again there.
            let _ = self.live();
        }
    }

    fn failed(&self, reason: impl std::fmt::Display) -> SandboxError {
        SandboxError::Plugin {
            plugin: self.name.clone(),
            reason: reason.to_string(),
        }
    }

    fn live(&mut self) -> Result<(), SandboxError> {
        if self.live.is_some() {
            return Ok(());
        }
        let guest = Guest::new(Vec::new(), self.limits, ());
        let mut store = guest::store(&self.engine, guest)?;
        let make = || -> wasmtime::Result<_> {
            let instance = self.prepared.instantiate(&mut store)?;
            Ok((
                instance.get_typed_func(&mut store, "score-batch")?,
                instance.get_typed_func(&mut store, "describe")?,
            ))
        };
        let (score_batch, describe) =
            { make }().map_err(|error| self.failed(format!("{error:#}")))?;
        self.live = Some(Live {
            store,
            score_batch,
            describe,
        });
        Ok(())
    }

    fn describe(&mut self) -> Result<String, SandboxError> {
        self.live()?;
        let live = self.live.as_mut().expect("just made");
        let result = live.describe.call(&mut live.store, ());
        match result {
            Ok((description,)) => Ok(description),
            Err(error) => {
                let guest = live.store.data();
                let exit = guest::exit_of(guest, &error);
                let words = last_words(&guest.stderr);
                Err(self.failed(format!("describe: {exit}{words}")))
            }
        }
    }

    fn score_batch(
        &mut self,
        samples: Vec<PluginSample>,
    ) -> Result<Vec<PluginScore>, SandboxError> {
        let expected = samples.len();
        self.live()?;
        let live = self.live.as_mut().expect("just made");
        guest::rearm(&mut live.store, &self.limits)?;
        // The limit of output is for one batch, and so are its last words.
        live.store.data_mut().forget_output();
        match live.score_batch.call(&mut live.store, (samples,)) {
            Ok((Ok(scores),)) if scores.len() == expected => Ok(scores),
            Ok((Ok(scores),)) => {
                let found = scores.len();
                Err(self.failed(format!("{found} scores for {expected} samples")))
            }
            Ok((Err(reason),)) => Err(self.failed(reason)),
            Err(error) => {
                let guest = live.store.data();
                let exit = guest::exit_of(guest, &error);
                let words = last_words(&guest.stderr);
                Err(self.failed(format!("score-batch: {exit}{words}")))
            }
        }
    }
}
