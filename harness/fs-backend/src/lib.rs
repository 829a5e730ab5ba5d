//! The vhost-user-fs server: virtiofsd's passthrough plus backing entries in LOOKUP replies.
