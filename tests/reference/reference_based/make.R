# Reference-based imputation at conditional means, with the jackknife, written out in R around nlme's gls:
# Beat the Blues (HSAUR3), one covariance of the visits for both arms, REML. The definitions are those of
# Carpenter, Roger and Kenward (2013) and Wolbers et al. (2022). Run in this folder:  Rscript make.R
suppressPackageStartupMessages({library(HSAUR3); library(nlme); library(jsonlite)})
data(BtheB)
visits <- c(2, 3, 5, 8)
Y <- as.matrix(BtheB[, paste0("bdi.", visits, "m")])
arm <- as.integer(BtheB$treatment == "BtheB")
base <- BtheB$bdi.pre
last <- apply(!is.na(Y), 1, function(seen) if (any(seen)) max(which(seen)) else 0)
settings <- glsControl(tolerance = 1e-10, msTol = 1e-12, msMaxIter = 500, maxIter = 500)

model <- function(kept) {
  n <- length(kept)
  long <- data.frame(id = rep(kept, 4), place = rep(1:4, each = n), y = c(Y[kept, ]),
    arm = rep(arm[kept], 4), base = rep(base[kept], 4))
  long <- long[!is.na(long$y), ]
  long$visit <- factor(long$place)
  fit <- gls(y ~ 0 + visit + visit:arm + visit:base, long, corSymm(form = ~ place | id),
    varIdent(form = ~ 1 | visit), method = "REML", control = settings)
  # the correlation of the visits as gls holds it, for a subject with all of them
  full <- names(which(table(long$id) == 4))[1]
  R <- unclass(getVarCov(fit, individual = full))
  list(beta = matrix(coef(fit), ncol = 3), Sigma = matrix(R, 4), loglik = as.numeric(logLik(fit)))
}

# means of a subject (4) in an arm
mean_of <- function(at, i, a) at$beta %*% c(1, a, base[i])

assumed <- function(at, i, strategy) {
  own <- mean_of(at, i, arm[i]); ref <- mean_of(at, i, 0); k <- last[i]
  after <- seq_len(4) > k
  if (strategy == "mar") return(own)
  if (strategy == "cr") return(ref)
  if (k == 0) return(if (strategy == "lmcf") own else ref)
  switch(strategy,
    j2r = ifelse(after, ref, own),
    cir = ifelse(after, own[k] + ref - ref[k], own),
    lmcf = ifelse(after, own[k], own))
}

completed <- function(at, kept, strategy) t(sapply(kept, function(i) {
  y <- Y[i, ]; gone <- is.na(y)
  if (!any(gone)) return(y)
  mu <- assumed(at, i, strategy)
  if (all(gone)) return(c(mu))
  S <- at$Sigma
  y[gone] <- mu[gone] + S[gone, !gone, drop = FALSE] %*% solve(S[!gone, !gone, drop = FALSE], y[!gone] - mu[!gone])
  y
}))

strategies <- c("mar", "j2r", "cir", "cr", "lmcf")
contrasts_of <- function(kept) {
  at <- model(kept)
  list(at = at, contrasts = sapply(strategies, function(strategy) {
    full <- completed(at, kept, strategy)
    apply(full, 2, function(y) coef(lm(y ~ arm[kept] + base[kept]))[[2]])
  }))
}

everyone <- seq_along(arm)
whole <- contrasts_of(everyone)
left <- lapply(everyone, function(i) contrasts_of(everyone[-i])$contrasts)
n <- length(everyone)
centre <- Reduce(`+`, left) / n
error <- sqrt((n - 1) / n * Reduce(`+`, lapply(left, function(each) (each - centre)^2)))
said <- list(loglik = whole$at$loglik, beta = whole$at$beta, Sigma = whole$at$Sigma, strategies = list())
for (strategy in strategies)
  said$strategies[[strategy]] <- list(estimate = whole$contrasts[, strategy], std_error = error[, strategy])
write_json(said, "expected.json", digits = 12, auto_unbox = TRUE, pretty = TRUE)
writeLines(capture.output(sessionInfo()), "session.txt")
