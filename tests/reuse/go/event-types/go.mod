module eventtypes

go 1.24
