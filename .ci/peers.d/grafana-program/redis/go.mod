module gopkg.in/redis.v2
go 1.21
