//! One interpreter: an instance of the Python component with its store; in `partner`, another that it takes turns with.

mod partner;

use serde_json::Value;
use wasmtime::component::{InstancePre, TypedFunc};
use wasmtime::{Store, StoreContextMut};

use crate::engine::Engine;
use crate::error::SandboxError;
use crate::execution::{Execution, Exit};
use crate::guest::{self, Guest};
use crate::limits::Limits;

use partner::Line;
pub(crate) use partner::Partner;

/// What the host keeps beside an interpreter that takes part in a test.
#[derive(Default)]
pub(crate) struct Side {
    /// The other one: the solution's, where this is that of the tests.
    pub(crate) partner: Option<Partner>,
    /// Where the tests are reached, where this is the solution's and may call back.
    pub(crate) tests: Option<Line>,
    /// How the solution's instance ended, if it did.
    pub(crate) died: Option<Exit>,
}

type Handle = TypedFunc<(Vec<u8>,), (Vec<u8>,)>;

/// A live instance.
pub(crate) struct Interpreter {
    store: Store<Guest<Side>>,
    handle: Handle,
    stack_bytes: u64,
}

impl Interpreter {
    pub(crate) fn new(
        engine: &Engine,
        prepared: &InstancePre<Guest<Side>>,
        limits: &Limits,
    ) -> Result<Self, SandboxError> {
        let mut store = guest::store(engine, Guest::new(Vec::new(), *limits, Side::default()))?;
        let mut make = || -> wasmtime::Result<Handle> {
            let instance = prepared.instantiate(&mut store)?;
            instance.get_typed_func(&mut store, "handle")
        };
        let handle = make().map_err(|error| {
            if guest::memory_was_refused(store.data()) {
                SandboxError::MemoryTooSmall {
                    name: "Python".to_owned(),
                    memory_bytes: limits.memory_bytes,
                    reason: format!("{:#}", error),
                }
            } else {
                SandboxError::engine(&error)
            }
        })?;
        // Instantiation is the host's work: the guest's fuel starts here.
        guest::rearm(&mut store, limits)?;
        Ok(Self {
            store,
            handle,
            stack_bytes: limits.stack_bytes,
        })
    }

    pub(crate) fn give_stdin(&mut self, stdin: Vec<u8>) {
        self.store.data_mut().stdin = stdin;
    }

    pub(crate) fn restart_clock(&mut self, limits: &Limits) -> Result<(), SandboxError> {
        guest::rearm(&mut self.store, limits)
    }

    pub(crate) fn memory_was_refused(&self) -> bool {
        guest::memory_was_refused(self.store.data())
    }

    pub(crate) fn side(&mut self) -> &mut Side {
        &mut self.store.data_mut().host
    }

    /// Sends a request to the harness; how the guest ended if it did not answer.
    pub(crate) fn ask(&mut self, request: &Value) -> Result<Vec<u8>, Exit> {
        self.ask_bytes(request.to_string().into_bytes())
    }

    pub(crate) fn ask_bytes(&mut self, request: Vec<u8>) -> Result<Vec<u8>, Exit> {
        match self.handle.call(&mut self.store, (request,)) {
            Ok((reply,)) => Ok(reply),
            Err(error) => Err(guest::exit_of(self.store.data(), &error)),
        }
    }

    pub(crate) fn into_execution(self, exit: Exit) -> Execution {
        guest::execution(self.store, exit)
    }

    pub(crate) fn stack_bytes(&self) -> u64 {
        self.stack_bytes
    }

    pub(crate) fn fuel_used(&self) -> u64 {
        guest::fuel_used(&self.store)
    }
}

/// The import through which the two sides reach each other: bytes there, bytes back. Nothing else connects them.
pub(crate) fn call_out(
    mut store: StoreContextMut<'_, Guest<Side>>,
    (message,): (Vec<u8>,),
) -> wasmtime::Result<(Vec<u8>,)> {
    let side = &mut store.data_mut().host;
    if let Some(line) = &side.tests {
        return Ok((line.ask(message)?,));
    }
    let reply = match side.partner.take() {
        Some(partner) => {
            let (partner, reply) = partner.tell(message);
            side.partner = partner;
            reply
        }
        None => Err(side
            .died
            .clone()
            .unwrap_or_else(|| Exit::Trapped("there is no solution".to_owned()))),
    };
    let reply = reply.unwrap_or_else(|exit| {
        let dead = serde_json::json!({ "dead": exit.to_string() });
        side.died = Some(exit);
        side.partner = None;
        dead.to_string().into_bytes()
    });
    Ok((reply,))
}
