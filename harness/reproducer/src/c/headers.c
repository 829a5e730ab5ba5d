//@ makedev major <sys/sysmacros.h>

//@ lsetxattr lremovexattr <sys/xattr.h>

