# Likelihood-ratio tests of random effects by simulation: RLRsim's exact null distribution under REML, and
# pbkrtest's parametric bootstrap under ML.
source("../peers.R")
suppressPackageStartupMessages(library(RLRsim))

dyestuff <- case_data("lme4", "Dyestuff", groups = list(Batch = inside()))$frame
pastes <- case_data("lme4", "Pastes", groups = list(batch = inside(), sample = inside("batch")))$frame

one <- lme4::lmer(Yield ~ 1 + (1 | Batch), data = dyestuff, control = tight)
set.seed(1)
exact <- exactRLRT(one, nsim = 100000)

large <- lme4::lmer(strength ~ 1 + (1 | batch) + (1 | sample), data = pastes, REML = FALSE, control = tight)
small <- lme4::lmer(strength ~ 1 + (1 | sample), data = pastes, REML = FALSE, control = tight)
boot <- suppressWarnings(PBmodcomp(large, small, nsim = 1000, seed = 2))

write_json(
  list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = as.list(sapply(c("lme4", "pbkrtest", "RLRsim"), function(p) as.character(packageVersion(p)))),
    dyestuff = list(statistic = unname(exact$statistic), p_value = exact$p.value, sets = 100000),
    pastes = list(statistic = boot$test["LRT", "stat"], p_value = boot$test["PBtest", "p.value"],
                  sets = length(boot$ref))
  ),
  "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE
)
writeLines(capture.output(sessionInfo()), "session.txt")
