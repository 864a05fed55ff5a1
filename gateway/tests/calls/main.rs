//! Calls between two running gateways, each with its own state folder and phone: through real sockets, with the services around
//! them in the test's hand, so that they can go away at a bad moment.

#[cfg(test)]
mod at_rest;
#[cfg(test)]
mod bad_moments;
#[cfg(test)]
mod community_box;
#[cfg(test)]
mod conditions;
#[cfg(test)]
mod damaged_files;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod log;
#[cfg(test)]
mod plug_and_play;
#[cfg(test)]
mod processes;
#[cfg(test)]
mod program;
#[cfg(test)]
mod reload;
#[cfg(test)]
#[cfg(test)]
mod servers;
#[cfg(test)]
mod service;
#[cfg(test)]
mod silence_in_logs;
#[cfg(test)]
mod status_page;
#[cfg(test)]
mod stopping;
#[cfg(test)]
mod without_book;
