//! The running engine: the event loop, its handle for the owner, how both are put together and take over new settings. Nothing
//! here knows files or the command line.

pub(crate) mod allocated_media;
pub mod assemble;
pub(crate) mod command;
mod commands;
pub(crate) mod conditions;
mod connections;
pub(crate) mod desktop;
pub mod event;
mod event_loop;
pub mod gateway;
pub mod handle;
pub(crate) mod media_task;
pub(crate) mod media_thread;
pub mod parts;
pub(crate) mod pow_worker;
mod recovery;
pub mod reload;
mod way_out;
