# Strength of casks within batches (lme4): nested factors, for engines that take more than one.
source("../peers.R")
data <- case_data("lme4", "Pastes", groups = list(batch = inside(), cask = inside("batch")))
save_case(data, list(
  nested = peer(data, "strength ~ 1 + (1 | batch/cask)"),
  innermost = peer(data, "strength ~ 1 + (1 | batch:cask)")
))
