# Groups with a known correlation K = C C'. lme4: Zt becomes (C' x I) Zt between lFormula and mkLmerDevfun, as
# package pedigreemm does; metafor takes K itself, beside known standard errors. K.csv, batches.csv and
# trials.csv are written here: an autoregression over subjects, families of batches, distances in latitude.
source("../peers.R")
suppressPackageStartupMessages(library(metafor))

table_of <- function(K, path, order = seq_len(nrow(K))) {
  write.csv(data.frame(id = rownames(K)[order], K[order, ], check.names = FALSE), path, row.names = FALSE)
  invisible(K)
}

# K of the groups of the term `which`; q coefficients a group, next to each other in Zt.
related <- function(formula, frame, K, which, reml) {
  parsed <- lFormula(formula, data = frame, REML = reml, control = lmerControl(
    check.nobs.vs.nlev = "ignore", check.nobs.vs.nRE = "ignore"))
  term <- match(which, names(parsed$reTrms$flist))
  groups <- levels(parsed$reTrms$flist[[term]])
  q <- length(parsed$reTrms$cnms[[term]])
  C <- t(chol(K[groups, groups]))
  wide <- kronecker(C, diag(q))
  at <- parsed$reTrms$Gp[term] + seq_len(nrow(wide))
  Zt <- parsed$reTrms$Zt
  Zt[at, ] <- as(t(wide), "CsparseMatrix") %*% Zt[at, ]
  parsed$reTrms$Zt <- Zt
  devfun <- do.call(mkLmerDevfun, parsed)
  best <- optimizeLmer(devfun, optimizer = "nloptwrap", control = list(
    xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 100000))
  fit <- mkMerMod(environment(devfun), best, parsed$reTrms, parsed$fr)
  Lambdat <- getME(fit, "Lambdat")
  M <- Lambdat %*% Zt %*% t(Zt) %*% t(Lambdat) + Diagonal(nrow(Zt))
  conditional <- sigma(fit)^2 * as.matrix(t(Lambdat) %*% solve(M) %*% Lambdat)
  b <- as.vector(wide %*% getME(fit, "b")[at])
  sds <- as.data.frame(VarCorr(fit))
  sds <- sds[is.na(sds$var2), ]
  list(
    formula = deparse1(formula), reml = reml, which = which, groups = groups,
    log_likelihood = as.numeric(logLik(fit)), beta = unname(fixef(fit)),
    std_error = unname(sqrt(diag(as.matrix(vcov(fit))))),
    sd = sds$sdcor[sds$grp != "Residual"], sd_group = sds$grp[sds$grp != "Residual"], sigma = sigma(fit),
    b = b, b_se = sqrt(diag(wide %*% conditional[at, at] %*% t(wide)))
  )
}

sleep <- case_data("lme4", "sleepstudy", groups = list(Subject = inside()))
ids <- levels(sleep$frame$Subject)
K <- 0.7^abs(outer(seq_along(ids), seq_along(ids), "-"))
dimnames(K) <- list(ids, ids)
table_of(K, "subjects.csv", rev(seq_along(ids)))

paste_data <- case_data("lme4", "Pastes", groups = list(batch = inside(), sample = inside("batch")))
batches <- levels(paste_data$frame$batch)
families <- kronecker(diag(5), matrix(c(1, 0.5, 0.5, 1.25), 2))
dimnames(families) <- list(batches, batches)
table_of(families, "batches.csv")

bcg <- read.csv("../bcg/data.csv")
near <- exp(-abs(outer(bcg$latitude, bcg$latitude, "-")) / 10)
near <- (near + diag(nrow(bcg))) / 2 # two trials share a latitude
dimnames(near) <- list(bcg$trial, bcg$trial)
table_of(near, "trials.csv")
meta <- function(reml) {
  fit <- rma.mv(log_rr, std_error^2, random = ~ 1 | trial, R = list(trial = near), Rscale = FALSE, data = bcg,
    method = if (reml) "REML" else "ML", control = list(optimizer = "nlminb", rel.tol = 1e-10), sparse = FALSE)
  b <- ranef(fit)$trial
  list(
    reml = reml, log_likelihood = as.numeric(logLik(fit)) - if (reml) log(nrow(bcg)) / 2 else 0, beta = as.vector(fit$beta), std_error = fit$se,
    sd = sqrt(fit$sigma2), b = b$intrcpt, groups = rownames(b)
  )
}

fits <- list(
  slopes = related(Reaction ~ Days + (Days | Subject), sleep$frame, K, "Subject", TRUE),
  slopes_ml = related(Reaction ~ Days + (Days | Subject), sleep$frame, K, "Subject", FALSE),
  intercepts = related(Reaction ~ Days + (1 | Subject), sleep$frame, K, "Subject", TRUE),
  nested = related(strength ~ 1 + (1 | batch) + (1 | sample), paste_data$frame, families, "batch", TRUE)
)
write_json(
  list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = as.list(sapply(c("lme4", "metafor"), function(p) as.character(packageVersion(p)))),
    fits = fits, meta = list(reml = meta(TRUE), ml = meta(FALSE))
  ),
  "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE
)
writeLines(capture.output(sessionInfo()), "session.txt")
