module dittofs.dittofs.com/hack/pause

go 1.25.0
