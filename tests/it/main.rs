//! Tests of the whole: `real_*` need programs that `tests/run` installs.

mod layers;
mod path_of_a_call;
mod real_browser;
mod real_phones;
mod real_servers;
mod real_sip;
