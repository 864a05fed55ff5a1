//! As many open files as the system allows (getrlimit(2)): each connection is one, and shells begin programs with 1,024.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of this process to what it may have.
///
/// # Errors
/// What the system says. The program may go on, and serves fewer.
pub fn raise() -> io::Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    Ok(setrlimit(Resource::Nofile, limit)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_open_as_many_files_as_the_system_allows() {
        let mut limit = getrlimit(Resource::Nofile);
        limit.current = Some(512);
        setrlimit(Resource::Nofile, limit).unwrap();
        raise().unwrap();
        let raised = getrlimit(Resource::Nofile);
        assert_eq!(raised.current, limit.maximum);
    }
}
