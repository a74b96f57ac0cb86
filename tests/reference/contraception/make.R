# Use of contraception in 60 districts of Bangladesh (mlmRev): binary, a slope that varies by district.
source("../peers.R")
source("../generalised.R")
data <- case_data("mlmRev", "Contraception",
  groups = list(district = inside()),
  levels = list(use = c("N", "Y"), urban = c("N", "Y"), livch = c("0", "1", "2", "3+"))
)
slopes <- "use ~ age + I(age^2) + urban + livch + (urban | district)"
intercepts <- "use ~ age + I(age^2) + urban + livch + (1 | district)"
save_generalised(data, list(
  # glmer warns that it cannot settle here (age is not scaled), and its standard errors are off by 1%
  slopes = by_glmmtmb(data, slopes, binomial()),
  laplace = by_glmer(data, intercepts, binomial(), settled = 1e-9),
  points_25 = by_glmer(data, intercepts, binomial(), 25, settled = 1e-9)
))
