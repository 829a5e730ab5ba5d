//@ mkdir mknod chmod umask S_IFCHR S_IFBLK S_IFIFO S_IFSOCK UTIME_NOW UTIME_OMIT <sys/stat.h>

//@ link unlink symlink rmdir truncate ftruncate lchown fsync lseek SEEK_SET <unistd.h>

//@ makedev major <sys/sysmacros.h>

//@ lsetxattr lremovexattr <sys/xattr.h>

//@ O_RDONLY O_WRONLY O_RDWR <fcntl.h>

//@ size_t ssize_t off_t mode_t pid_t uid_t gid_t <sys/types.h>

//@ NULL <stddef.h>

