//! Whether the kernel ended a process for want of memory.

use std::fs;

/// How many processes the kernel has ended for want of memory since the machine started, in a control group's limit or for
/// the whole machine; none when it does not say.
pub(crate) fn kernel_count() -> Option<u64> {
    count(&fs::read_to_string("/proc/vmstat").ok()?)
}

fn count(vmstat: &str) -> Option<u64> {
    vmstat
        .lines()
        .find_map(|line| line.strip_prefix("oom_kill "))
        .and_then(|number| number.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernels_count_is_read() {
        assert_eq!(
            super::count("nr_free_pages 5\noom_kill 7\nballoon 0\n"),
            Some(7)
        );
        assert_eq!(super::count("nr_free_pages 5\n"), None);
    }
}
